/* SPDX-License-Identifier: Apache-2.0 */
/* viaduct-switch, the virtual switch: the command line, signals, exit codes. */
#include "switch_cmdline.h"

#include "switch_api.h"
#include "switch_takeover.h"
#include "switch/counters.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_HOST };

static void signalled(struct loop_fd *watch, uint32_t events)
{
	struct signalfd_siginfo info;

	if (read(watch->fd, &info, sizeof(info)) == sizeof(info))
		loop_stop(watch->opaque);
}

/* Before any thread is made, so that all of them block these. */
static int watch_signals(struct loop *loop, struct loop_fd *watch, struct error *err)
{
	sigset_t set;
	int ret;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	*watch = (struct loop_fd){.fn = signalled, .opaque = loop};
	watch->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (watch->fd < 0)
		return error_set(err, -errno, "signalfd: %s", error_name(errno));
	ret = loop_add(loop, watch, EPOLLIN);
	return ret ? error_set(err, ret, "signals: %s", error_name(ret)) : 0;
}

static int status_of(int code)
{
	switch (code) {
	case 0:
		return EXIT_OK;
	case -EINVAL:
	case -ERANGE:
	case -EEXIST:
		return EXIT_USAGE;
	case -ENOTSUP:
	case -EPERM:
	case -EACCES:
	case -ENODEV:
	case -ENOENT:
		return EXIT_HOST;
	default:
		return EXIT_FAILED;
	}
}

static void log_totals(struct sw *sw)
{
	struct sw_in_counters in;
	struct sw_out_counters out;

	for (unsigned i = 0; sw && i < SW_PORTS_MAX; i++) {
		struct sw_port *port = sw_port_at(sw, i);

		if (!port)
			continue;
		sw_port_totals(port, &in, &out);
		log_info("%s: %" PRIu64 " frames in, %" PRIu64 " out", port->id, in.frames,
			 out.frames);
		for (unsigned d = 0; d < SW_DROP_COUNT; d++)
			if (in.drops[d])
				log_info("%s: %" PRIu64 " dropped, %s: %s", port->id, in.drops[d],
					 sw_drop_name(d), sw_drop_help(d));
	}
}

static int add_ports(struct sw *sw, const struct sw_heir *heir, char *const *ports, unsigned n,
		     struct error *err)
{
	int ret = 0;

	for (unsigned i = 0; i < n && !ret; i++)
		if (!sw_takeover_has(heir, ports[i]))
			ret = sw_add_port(sw, ports[i], NULL, err);
	return ret;
}

/* Everything is another process's now: nothing may be undone, only left. */
static _Noreturn void leave(struct sw *sw, struct switch_api *api, struct switch_heritage *h)
{
	sw_takeover_leave(sw);
	log_totals(sw);
	switch_api_close(api);
	switch_heritage_close(h);
	_exit(EXIT_OK);
}

/* Ports: those of the switch before this one first. */
static int open_ports(const struct switch_cmdline *c, const struct switch_config *config,
		      const char *takeover, struct sw *sw, struct error *err)
{
	struct sw_heir *heir = NULL;
	struct error why = {0};
	int ret = takeover ? switch_take_over(takeover, sw, &heir, err) : 0;

	if (!ret && heir && sw_takeover_remake(heir, &why))
		log_error("%s", why.text);
	if (!ret)
		ret = add_ports(sw, heir, config->ports, config->nports, err);
	if (!ret)
		ret = add_ports(sw, heir, c->ports, c->nports, err);
	sw_takeover_free(heir);
	return ret;
}

static int serve(const struct switch_cmdline *c, const struct switch_config *config,
		 struct loop *loop, struct error *err)
{
	const char *socket = c->api_socket ? c->api_socket : config->api_socket;
	struct sw *sw = sw_create(&c->options, loop, err);
	const char *takeover = c->takeover ? c->takeover : config->takeover;
	struct switch_heritage *heritage = NULL;
	struct switch_api *api = NULL;
	int ret = sw ? 0 : err->code;

	if (!ret)
		ret = open_ports(c, config, takeover, sw, err);
	if (!ret && socket)
		ret = switch_api_open(socket, loop, sw, &api, err);
	if (!ret && takeover)
		ret = switch_heritage_open(takeover, loop, sw, &heritage, err);
	if (!ret)
		ret = loop_run(loop);
	if (switch_heritage_is_given(heritage))
		leave(sw, api, heritage);
	switch_heritage_close(heritage);
	log_totals(sw);
	switch_api_close(api);
	sw_destroy(sw);
	return ret;
}

static int run(struct switch_cmdline *c)
{
	struct switch_config config = {0};
	struct error err = {0};
	struct loop *loop = loop_create(&err);
	struct loop_fd signals;
	int ret = loop ? watch_signals(loop, &signals, &err) : err.code;

	if (!ret && c->config)
		ret = switch_config_read(c->config, &c->options, &config, &err);
	if (!ret)
		ret = serve(c, &config, loop, &err);
	switch_config_free(&config);
	if (err.code)
		log_error("%s", err.text);
	if (loop)
		loop_destroy(loop);
	return status_of(ret);
}

static int print_and_check(void (*print)(void))
{
	print();
	if (fflush(stdout) || ferror(stdout)) {
		log_error("standard output: %s", error_name(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void print_version(void)
{
	printf("viaduct-switch %s\n", VIADUCT_VERSION);
}

int main(int argc, char **argv)
{
	static struct switch_cmdline cmdline;
	struct error err = {0};

	signal(SIGPIPE, SIG_IGN);
	log_set_name("viaduct-switch");
	if (switch_cmdline_parse(&cmdline, argc, argv, &err)) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	log_set_level(cmdline.log_level);
	switch (cmdline.what) {
	case SWITCH_HELP:
		return print_and_check(switch_help);
	case SWITCH_VERSION:
		return print_and_check(print_version);
	default:
		return run(&cmdline);
	}
}
