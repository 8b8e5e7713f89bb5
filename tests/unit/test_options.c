/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/named_options.h"

#include <errno.h>

static const struct option_key keys_a[] = {
	{"ifname", "NAME", "the interface"},
	{"queues", "N", "queue pairs"},
	{"hostfwd", "RULE", "forward a port", .repeat = true},
	{NULL},
};
static const struct option_key keys_b[] = {
	{"mac", "MAC", "the address"},
	{"socket", "PATH", "the socket"},
	{NULL},
};
static const struct option_key *const tables[] = {keys_a, keys_b, NULL};

static void test_parse(void **state)
{
	struct options opts;
	struct error err;

	assert_int_equal(options_parse(&opts, "a=1,b=x=y,a=2,c=,d=p,,q,,", &err), 0);
	assert_int_equal(opts.count, 5);
	assert_string_equal(options_get(&opts, "a"), "1");
	assert_string_equal(options_get_nth(&opts, "a", 1), "2");
	assert_null(options_get_nth(&opts, "a", 2));
	assert_string_equal(options_get(&opts, "b"), "x=y");
	assert_string_equal(options_get(&opts, "c"), "");
	assert_string_equal(options_get(&opts, "d"), "p,q,");
	assert_null(options_get(&opts, "e"));
	options_free(&opts);

	assert_int_equal(options_parse(&opts, NULL, &err), 0);
	assert_int_equal(opts.count, 0);
	options_free(&opts);
	assert_int_equal(options_parse(&opts, "", &err), 0);
	options_free(&opts);
	assert_int_equal(options_parse(&opts, "k=v,,,l=w", &err), 0);
	assert_string_equal(options_get(&opts, "k"), "v,");
	assert_string_equal(options_get(&opts, "l"), "w");
	options_free(&opts);
}

static void test_parse_errors(void **state)
{
	static const char *const bad[] = {"a", "=b", "a=1,b", "a=1, ,b=2", ",a=1", "a=1,=", NULL};
	struct options opts;
	struct error err;

	for (unsigned i = 0; bad[i]; i++) {
		assert_int_equal(options_parse(&opts, bad[i], &err), -EINVAL);
		assert_text(err, "KEY=VALUE");
		options_free(&opts);
	}
}

static void test_set(void **state)
{
	struct options opts;
	struct error err;

	assert_int_equal(options_parse(&opts, "a=1", &err), 0);
	assert_int_equal(options_set(&opts, "a", "2"), 0);
	assert_int_equal(options_set(&opts, "b", "3"), 0);
	assert_int_equal(opts.count, 2);
	assert_string_equal(options_get(&opts, "a"), "2");
	assert_string_equal(options_get(&opts, "b"), "3");
	options_free(&opts);
}

static int check(const char *text, struct error *err)
{
	struct options opts;
	int rc;

	assert_int_equal(options_parse(&opts, text, err), 0);
	rc = options_check(&opts, tables, "--net net0", err);
	options_free(&opts);
	return rc;
}

static void test_check(void **state)
{
	struct error err = {0};

	assert_int_equal(check("ifname=tap0,hostfwd=a,mac=b,hostfwd=c", &err), 0);
	assert_int_equal(check("ifnam=tap0", &err), -EINVAL);
	assert_string_equal(err.text, "--net net0: unknown key 'ifnam': did you mean 'ifname'?");
	assert_int_equal(check("queue=2", &err), -EINVAL);
	assert_text(err, "'queues'");
	assert_int_equal(check("scoket=/x", &err), -EINVAL);
	assert_text(err, "'socket'");
	assert_int_equal(check("zzzzzzzz=1", &err), -EINVAL);
	assert_text(err, "the keys are ifname, queues, hostfwd, mac, socket");
	assert_int_equal(check("mac=a,mac=b", &err), -EINVAL);
	assert_text(err, "mac= is given twice");
}

static void test_nearest(void **state)
{
	static const char *const names[] = {"user", "tap", "vhost-net", "vhost-user", NULL};
	char longer[200];

	assert_string_equal(option_nearest("tpa", names), "tap");
	assert_string_equal(option_nearest("vhostuser", names), "vhost-user");
	assert_string_equal(option_nearest("vhost", names), "vhost-net");
	assert_string_equal(option_nearest("usr", names), "user");
	assert_null(option_nearest("macvtap-passthrough", names));
	assert_null(option_nearest("", names));
	memset(longer, 'u', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_null(option_nearest(longer, names));
}

static void test_bool(void **state)
{
	struct error err;
	bool b = false;

	assert_int_equal(option_bool("packed", "on", &b, &err), 0);
	assert_true(b);
	assert_int_equal(option_bool("packed", "yes", &b, &err), -EINVAL);
	assert_true(b);
	assert_string_equal(err.text, "packed=yes: use on or off");
	assert_int_equal(option_bool("packed", "off", &b, &err), 0);
	assert_false(b);
}

static void test_u64(void **state)
{
	struct error err;
	uint64_t v = 7;

	assert_int_equal(option_u64("queues", "16", 1, 16, &v, &err), 0);
	assert_int_equal(v, 16);
	assert_int_equal(option_u64("addr", "0xfee00000", 0, UINT64_MAX, &v, &err), 0);
	assert_int_equal(v, 0xfee00000);
	assert_int_equal(option_u64("n", "18446744073709551615", 0, UINT64_MAX, &v, &err), 0);
	assert_true(v == UINT64_MAX);
	v = 7;
	assert_int_equal(option_u64("queues", "17", 1, 16, &v, &err), -ERANGE);
	assert_string_equal(err.text, "queues=17: out of range: use 1 to 16");
	assert_int_equal(option_u64("n", "18446744073709551616", 0, UINT64_MAX, &v, &err), -ERANGE);
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "x", "1x", "0x", NULL};
	for (unsigned i = 0; bad[i]; i++)
		assert_int_equal(option_u64("queues", bad[i], 0, 99, &v, &err), -EINVAL);
	assert_int_equal(v, 7);
}

static void test_size(void **state)
{
	struct error err;
	uint64_t v = 7;

	assert_int_equal(option_size("memory", "512", true, &v, &err), 0);
	assert_int_equal(v, 512 * MIB);
	assert_int_equal(option_size("memory", "512", false, &v, &err), 0);
	assert_int_equal(v, 512);
	assert_int_equal(option_size("memory", "4G", true, &v, &err), 0);
	assert_int_equal(v, 4 * GIB);
	assert_int_equal(option_size("memory", "64k", true, &v, &err), 0);
	assert_int_equal(v, 64 * KIB);
	assert_int_equal(option_size("memory", "16777215T", false, &v, &err), 0);
	assert_int_equal(option_size("memory", "16777216T", false, &v, &err), -ERANGE);
	assert_int_equal(option_size("memory", "99999999999999999999", false, &v, &err), -ERANGE);
	v = 7;
	static const char *const bad[] = {"", "G", "-1G", "1.5G", "1GG", "1X", NULL};
	for (unsigned i = 0; bad[i]; i++) {
		assert_int_equal(option_size("memory", bad[i], true, &v, &err), -EINVAL);
		assert_text(err, "not a size");
	}
	assert_int_equal(v, 7);
}

static void test_mac(void **state)
{
	static const uint8_t want[6] = {0x52, 0x54, 0x00, 0xaB, 0xcd, 0x01};
	uint8_t mac[6] = {0};
	struct error err;

	assert_int_equal(option_mac("mac", "52:54:00:aB:cd:01", mac, &err), 0);
	assert_memory_equal(mac, want, 6);
	static const char *const bad[] = {"",
					  "52:54:00:ab:cd",
					  "52:54:00:ab:cd:0",
					  "52:54:00:ab:cd:011",
					  "52-54-00-ab-cd-01",
					  "5g:54:00:ab:cd:01",
					  "01:00:5e:00:00:01",
					  "ff:ff:ff:ff:ff:ff",
					  "00:00:00:00:00:00",
					  "525400abcd01",
					  "52:54:00:ab:cd:+1",
					  NULL};
	for (unsigned i = 0; bad[i]; i++)
		assert_int_equal(option_mac("mac", bad[i], mac, &err), -EINVAL);
	assert_memory_equal(mac, want, 6);
}

/* Whatever an error's text begins with, it comes to begin with the option and the name, once. */
static void named_error(const char *text, const char *before, const char *after)
{
	struct named_options n;
	struct error err = {0};

	assert_int_equal(named_options_parse(&n, "--net", "net", 2, text, &err), 0);
	error_set(&err, -EIO, "%s", before);
	assert_int_equal(named_options_end(&n, -EIO, &err), -EIO);
	assert_int_equal(err.code, -EIO);
	assert_string_equal(err.text, after);
}

static void test_named(void **state)
{
	struct named_options n;
	struct error err = {0};

	assert_int_equal(named_options_parse(&n, "--net", "net", 2, "mac=x", &err), 0);
	assert_string_equal(n.id, "net2");
	assert_string_equal(n.what, "--net net2");
	assert_int_equal(named_options_end(&n, 0, &err), 0);
	assert_int_equal(named_options_parse(&n, "--net", "net", 2, "id=a", NULL), 0);
	assert_string_equal(n.id, "a");
	assert_int_equal(named_options_end(&n, -EIO, NULL), -EIO);
	named_error("id=a", "no room", "--net a: no room");
	named_error("id=a", "a: no room", "--net a: no room");
	named_error("id=a", "ab: no room", "--net a: ab: no room");
	named_error("id=a", "--net a: no room", "--net a: no room");
	named_error("", "net2: no room", "--net net2: no room");
	assert_true(named_options_parse(&n, "--net", "net", 2, "nothing", &err) < 0);
	assert_true(named_options_end(&n, -EINVAL, &err) < 0);
	assert_text(err, "--net net2: ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	cmocka_unit_test(test_parse_errors),
		cmocka_unit_test(test_set),	cmocka_unit_test(test_check),
		cmocka_unit_test(test_nearest), cmocka_unit_test(test_bool),
		cmocka_unit_test(test_u64),	cmocka_unit_test(test_size),
		cmocka_unit_test(test_mac),	cmocka_unit_test(test_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
