/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's control socket (cmd/api*.c) on a machine without KVM, and JSON as --net text. */
#include "unit.h"

#include "api.h"
#include "api_config.h"
#include "base/thread.h"
#include "control/client.h"
#include "fake_machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What text becomes, or the error. */
static void assert_net(const char *json, const char *expected)
{
	json_t *config = json_loads(json, 0, NULL);
	struct error err = {0};
	char *text = NULL;

	assert_non_null(config);
	if (api_net_text(config, &text, &err)) {
		assert_int_equal(err.code, -EINVAL);
		assert_null(text);
		assert_string_equal(err.text, expected);
	} else {
		assert_string_equal(text, expected);
	}
	free(text);
	json_decref(config);
}

static void test_net_text(void **state)
{
	char *text;

	assert_net("{}", "");
	assert_net("{\"backend\": \"tap\", \"ifname\": \"tap0\"}", "backend=tap,ifname=tap0");
	assert_net("{\"mtu\": 9000, \"packed\": true, \"id\": null}", "mtu=9000,packed=on");
	assert_net("{\"queue_size\": 256, \"link-down-after\": 3}",
		   "queue-size=256,link-down-after=3");
	/* A comma in a value stays in that value. */
	assert_net("{\"ifname\": \"a,mac=b\"}", "ifname=a,,mac=b");
	assert_net("{\"hostfwd\": [\"tcp::1-:2\", \"tcp::3-:4\"]}",
		   "hostfwd=tcp::1-:2,hostfwd=tcp::3-:4");
	assert_net("{\"a,b\": 1}", "'a,b': is not a key: see viaduct --help");
	assert_net("{\"\": 1}", "'': is not a key: see viaduct --help");
	assert_net("{\"mtu\": 1.5}", "mtu: is neither a string, an integer nor a boolean");
	assert_net("{\"hostfwd\": [[]]}", "hostfwd: is neither a string, an integer nor a boolean");
	assert_int_equal(api_net_text(NULL, &text, NULL), 0);
	assert_string_equal(text, "");
	free(text);
}

/* Members that only Cloud Hypervisor has. */
static void test_net_text_ch(void **state)
{
	assert_net("{\"tap\": \"tap0\", \"num_queues\": 4}", "backend=tap,ifname=tap0,queues=2");
	assert_net("{\"vhost_user\": true, \"vhost_socket\": \"/s\", \"vhost_mode\": \"Server\"}",
		   "backend=vhost-user,socket=/s,server=on");
	assert_net("{\"vhost_user\": false, \"vhost_mode\": \"Client\"}", "");
	assert_net("{\"iommu\": false, \"pci_segment\": 0}", "");
	assert_net("{\"num_queues\": 3}", "num_queues: is not two for each pair of queues");
	assert_net("{\"num_queues\": \"4\"}", "num_queues: is not two for each pair of queues");
	assert_net("{\"vhost_user\": 1}", "vhost_user: is not a boolean");
	assert_net("{\"vhost_mode\": \"server\"}", "vhost_mode: is neither Client nor Server");
	assert_net("{\"iommu\": true}", "iommu: the guest gets none");
	assert_net("{\"pci_segment\": 1}", "pci_segment: there is only segment 0");
}

struct fixture {
	char dir[32], path[64];
	struct loop *loop;
	struct machine *machine;
	struct api *api;
	pthread_t thread;
};

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(arg), 0);
	return NULL;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/api-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/sock", f->dir);
	f->loop = loop_create(NULL);
	f->machine = fake_machine_create();
	assert_int_equal(api_open(f->path, f->loop, f->machine, &f->api, NULL), 0);
	assert_int_equal(thread_start(&f->thread, "loop", THREAD_ANY_CPU, run_loop, f->loop, NULL),
			 0);
	*state = f;
	return 0;
}

static void end(void *arg)
{
	struct fixture *f = arg;

	api_close(f->api);
	loop_stop(f->loop);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_post(f->loop, end, f);
	pthread_join(f->thread, NULL);
	fake_machine_destroy(f->machine);
	loop_destroy(f->loop);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* One call; the reply, or what the error is. */
static json_t *call(struct fixture *f, const char *method, const char *path, const char *body,
		    int expected)
{
	json_t *json = body ? json_loads(body, 0, NULL) : NULL, *reply = NULL;
	char full[128];
	struct error err = {0};

	snprintf(full, sizeof(full), "/api/v1/%s", path);
	assert_int_equal(control_client_call(f->path, method, full, json, 10, &reply, &err),
			 expected);
	json_decref(json);
	return reply;
}

static void assert_string(json_t *reply, const char *member, const char *expected)
{
	assert_string_equal(json_string_value(json_object_get(reply, member)), expected);
}

static void test_vm(void **state)
{
	struct fixture *f = *state;
	json_t *reply = call(f, "GET", "vmm.ping", NULL, 0);

	assert_int_equal(json_integer_value(json_object_get(reply, "pid")), getpid());
	json_decref(reply);
	assert_null(call(f, "PUT", "vm.pause", NULL, 0));
	assert_null(call(f, "PUT", "vm.pause", NULL, -EBUSY));
	reply = call(f, "GET", "vm.info", NULL, 0);
	assert_string(reply, "state", "Paused");
	json_decref(reply);
	assert_null(call(f, "PUT", "vm.resume", NULL, 0));
	assert_null(call(f, "PUT", "vm.reboot", NULL, 0));
	assert_null(call(f, "PUT", "vm.power-button", NULL, 0));
	assert_false(fake_machine_ended(f->machine));
	assert_null(call(f, "PUT", "vmm.shutdown", NULL, 0));
	assert_true(fake_machine_ended(f->machine));
}

static void test_net(void **state)
{
	struct fixture *f = *state;
	json_t *reply = call(f, "PUT", "vm.add-net", "{\"mac\": \"52:54:00:00:00:01\"}", 0);

	assert_string(reply, "id", "net1");
	assert_string(reply, "bdf", "0000:00:00.0");
	json_decref(reply);
	reply = call(f, "GET", "net", NULL, 0);
	assert_int_equal(json_array_size(json_object_get(reply, "net")), 2);
	json_decref(reply);
	assert_null(call(f, "PUT", "net/net1/link", "{\"up\": false}", 0));
	assert_null(call(f, "PUT", "net/net1/link", "{}", -EINVAL));
	reply = call(f, "PUT", "net/net1/backend", "{\"backend\": \"none\"}", 0);
	assert_true(json_is_false(json_object_get(reply, "moved")));
	json_decref(reply);
	assert_null(call(f, "PUT", "net/net1/backend", "{\"backend\": \"nine\"}", -EINVAL));
	assert_null(call(f, "PUT", "net/net1/capture", "{\"path\": \"/x\"}", 0));
	assert_null(call(f, "PUT", "net/net1/capture", "{\"path\": \"x\"}", -EINVAL));
	assert_null(
		call(f, "PUT", "net/net1/capture", "{\"path\": \"/x\", \"snaplen\": -1}", -EINVAL));
	json_decref(call(f, "DELETE", "net/net1/capture", NULL, 0));
	assert_null(call(f, "PUT", "vm.remove-device", "{\"id\": \"net1\"}", 0));
	assert_null(call(f, "PUT", "vm.remove-device", "{\"id\": \"net1\"}", -ENOENT));
	assert_null(call(f, "GET", "net/net1", NULL, -ENOENT));
}

static void test_hops(void **state)
{
	struct fixture *f = *state;
	json_t *reply = call(f, "GET", "net/net0/hops", NULL, 0);
	json_t *hops = json_object_get(reply, "hops"), *tx = json_array_get(hops, 0);

	assert_int_equal(json_array_size(hops), 2);
	assert_string(tx, "direction", "tx");
	assert_string(tx, "last_drop", "full");
	assert_int_equal(json_integer_value(json_object_get(tx, "frames_in")), 3);
	assert_null(json_object_get(json_array_get(hops, 1), "frames_in"));
	assert_string(json_array_get(hops, 1), "unknown", "everything");
	json_decref(reply);
	reply = call(f, "GET", "vm.counters", NULL, 0);
	tx = json_object_get(reply, "net0");
	assert_int_equal(json_integer_value(json_object_get(tx, "tx_frames")), 3);
	assert_int_equal(json_integer_value(json_object_get(tx, "tx0_plane_dropped_full")), 1);
	assert_int_equal(json_integer_value(json_object_get(tx, "tx0_plane_kicks")), 7);
	json_decref(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_net_text),
		cmocka_unit_test(test_net_text_ch),
		cmocka_unit_test_setup_teardown(test_vm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_net, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hops, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
