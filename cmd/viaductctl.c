/* SPDX-License-Identifier: Apache-2.0 */
/* viaductctl: the command line of the control sockets. */
#include "ctl.h"

#include "base/log.h"
#include "base/options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX 64
#define HELP_COLUMN  44

enum {
	EXIT_REFUSED = 1,     /* the program could not do it, and said why */
	EXIT_USAGE = 2,	      /* what was asked for makes no sense */
	EXIT_UNREACHABLE = 3, /* nobody at the socket */
};

static const struct ctl_command *const ctl_tables[] = {ctl_vm_commands, ctl_net_commands,
						       ctl_disk_commands, ctl_switch_commands,
						       ctl_sriov_commands};

static void print_help(void)
{
	printf("usage: viaductctl --api-socket PATH [--json] COMMAND [ARGUMENT...]\n"
	       "Controls a running viaduct or viaduct-switch through the socket that its "
	       "--api-socket made.\n\n"
	       "  --api-socket PATH   the socket (VIADUCT_API_SOCKET in the environment)\n"
	       "  --json              print answers as JSON, not as tables\n"
	       "  --help              this text\n"
	       "  --version           the version\n\n");
	for (unsigned i = 0; i < ARRAY_SIZE(ctl_tables); i++) {
		for (const struct ctl_command *c = ctl_tables[i]; c->name; c++) {
			int at = printf("  %s%s%s", c->name, c->args ? " " : "",
					c->args ? c->args : "");

			if (at >= HELP_COLUMN - 1)
				at = printf("\n") - 1;
			printf("%*s%s\n", HELP_COLUMN - at, "", c->help);
		}
	}
	printf("\nExit status: 0 done, 1 the program refused, 2 bad command line, 3 nobody can be "
	       "reached.\n");
}

/* How many of the words the command's name takes; 0: it is another command. */
static int matches(const struct ctl_command *command, char **words)
{
	const char *name = command->name;
	int n = 0;

	while (*name) {
		size_t len = strcspn(name, " ");

		if (!words[n] || strlen(words[n]) != len || memcmp(words[n], name, len) != 0)
			return 0;
		n++;
		name += len + (name[len] == ' ');
	}
	return n;
}

static int unknown(char **words, struct error *err)
{
	const char *names[COMMANDS_MAX + 1] = {0}, *near;
	char both[128];
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(ctl_tables); i++)
		for (const struct ctl_command *c = ctl_tables[i]; c->name && n < COMMANDS_MAX; c++)
			names[n++] = c->name;
	snprintf(both, sizeof(both), "%s%s%s", words[0], words[1] ? " " : "",
		 words[1] ? words[1] : "");
	near = option_nearest(both, names);
	near = near ? near : option_nearest(words[0], names);
	if (near)
		return error_set(err, -EINVAL, "'%.80s' is unknown: did you mean %s?", both, near);
	return error_set(err, -EINVAL, "'%.80s' is unknown: see --help", both);
}

static const struct ctl_command *find_command(char **words, int *used, struct error *err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ctl_tables); i++) {
		for (const struct ctl_command *c = ctl_tables[i]; c->name; c++) {
			*used = matches(c, words);
			if (*used)
				return c;
		}
	}
	unknown(words, err);
	return NULL;
}

static int run_command(struct ctl *ctl, char **words, struct error *err)
{
	const struct ctl_command *command;
	int used, n = 0, ret;

	if (!words[0]) {
		error_set(err, -EINVAL, "a command is missing: see --help");
		return EXIT_USAGE;
	}
	command = find_command(words, &used, err);
	if (!command)
		return EXIT_USAGE;
	while (words[used + n])
		n++;
	if (n < command->min || (command->max >= 0 && n > command->max)) {
		error_set(err, -EINVAL, "usage: viaductctl %s%s%s", command->name,
			  command->args ? " " : "", command->args ? command->args : "");
		return EXIT_USAGE;
	}
	if (!ctl->socket && !command->local) {
		error_set(err, -EINVAL, "--api-socket is missing: see --help");
		return EXIT_USAGE;
	}
	ret = command->run(ctl, words + used, err);
	if (ret == -EINVAL && !ctl->asked)
		return EXIT_USAGE;
	return ret == -ENOTCONN ? EXIT_UNREACHABLE : ret ? EXIT_REFUSED : 0;
}

/* Takes options away from before the command. 0, or -EINVAL with err set; 1: all is done. */
static int take_options(struct ctl *ctl, char ***words, struct error *err)
{
	for (; **words && !strncmp(**words, "--", 2); (*words)++) {
		const char *name = **words + 2;

		if (!strcmp(name, "json")) {
			ctl->json = true;
		} else if (!strcmp(name, "help")) {
			print_help();
			return 1;
		} else if (!strcmp(name, "version")) {
			printf("viaductctl %s\n", VIADUCT_VERSION);
			return 1;
		} else if (!strncmp(name, "api-socket=", 11)) {
			ctl->socket = name + 11;
		} else if (!strcmp(name, "api-socket") && (*words)[1]) {
			ctl->socket = *++*words;
		} else if (!strcmp(name, "api-socket")) {
			return error_set(err, -EINVAL, "option --api-socket needs a value: PATH");
		} else {
			return error_set(err, -EINVAL, "option --%.80s is unknown: see --help",
					 name);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct ctl ctl = {.socket = getenv("VIADUCT_API_SOCKET")};
	struct error err = {0};
	char **words = argv + (argc > 0);
	int ret, status;

	signal(SIGPIPE, SIG_IGN);
	log_set_name("viaductctl");
	ret = take_options(&ctl, &words, &err);
	status = ret < 0 ? EXIT_USAGE : ret > 0 ? 0 : run_command(&ctl, words, &err);
	if (err.code)
		log_error("%s", err.text);
	if (fflush(stdout) || ferror(stdout)) {
		log_error("standard output: %s", error_name(errno));
		return status ? status : EXIT_REFUSED;
	}
	return status;
}
