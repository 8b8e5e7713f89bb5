/* SPDX-License-Identifier: Apache-2.0 */
/* Option lists and values: what a command line or the control socket may say. */
#include "fuzz.h"

#include "base/options.h"
#include "hostnet/user_options.h"

static const struct option_key keys[] = {
	{"ifname", "NAME", "a name"},
	{"hostfwd", "RULE", "a rule", .repeat = true},
	{"mac", "MAC", "an address"},
	{NULL},
};

static void try_values(const char *text)
{
	struct user_config config = {.ipv6 = true};
	static const uint8_t mac[6] = {2};
	struct user_forward forward;
	uint64_t value = 1;
	struct error err;
	uint8_t out[6];
	bool b;

	option_bool("k", text, &b, &err);
	if (option_u64("k", text, 10, 1000, &value, &err) == 0)
		fuzz_assert(value >= 10 && value <= 1000);
	option_size("k", text, true, &value, &err);
	if (option_mac("k", text, out, &err) == 0)
		fuzz_assert(!(out[0] & 1));
	if (user_forward_parse(&forward, text, &config, mac, "net0", &err) == 0)
		fuzz_assert(forward.host.sa.sa_family == forward.guest.sa.sa_family);
	else
		fuzz_assert(strlen(err.text) < sizeof(err.text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct option_key *const tables[] = {keys, user_keys, NULL};
	char *text = malloc(size + 1);
	struct options opts;
	struct error err = {0};

	memcpy(text, data, size);
	text[size] = '\0';
	if (options_parse(&opts, text, &err) == 0) {
		options_check(&opts, tables, "--net net0", &err);
		for (unsigned i = 0; i < opts.count; i++) {
			fuzz_assert(opts.entries[i].key[0]);
			fuzz_assert(options_get(&opts, opts.entries[i].key));
			try_values(opts.entries[i].value);
		}
		if (opts.count) {
			struct hostnet_params params = {.id = "net0"};
			struct user_config config;

			user_config_parse(&config, &opts, &params, &err);
			options_set(&opts, opts.entries[0].key, "new");
			fuzz_assert(!strcmp(options_get(&opts, opts.entries[0].key), "new"));
		}
	} else {
		fuzz_assert(err.code < 0 && err.text[0]);
	}
	options_free(&opts);
	free(text);
	return 0;
}
