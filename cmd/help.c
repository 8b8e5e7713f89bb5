/* SPDX-License-Identifier: Apache-2.0 */
/* The usage text: printed from the tables that the parsers use, so that it cannot lag behind. */
#include "cmdline.h"

#include "dataplane/plane.h"
#include "device/disk.h"
#include "device/nic.h"
#include "hostnet/hostnet.h"

#include <stdio.h>

#define HELP_COLUMN 28
#define HELP_WIDTH  100

/* "  head   help", the help wrapped and indented. */
static void entry(const char *head, const char *text)
{
	int at = printf("  %s", head);

	if (at >= HELP_COLUMN) {
		putchar('\n');
		at = 0;
	}
	at += printf("%*s", HELP_COLUMN - at, "");
	while (*text) {
		size_t word = strcspn(text, " ");

		if (at + (int)word > HELP_WIDTH)
			at = printf("\n%*s", HELP_COLUMN, "") - 1;
		at += printf("%.*s ", (int)word, text);
		text += word + (text[word] == ' ');
	}
	putchar('\n');
}

static void keys(const char *title, const char *about, const struct option_key *key)
{
	char head[128];

	printf("\n%s%s%s\n", title, about ? ": " : "", about ? about : "");
	for (; key && key->name; key++) {
		snprintf(head, sizeof(head), "  %s=%s", key->name, key->value);
		entry(head, key->help);
	}
}

void cmdline_help(void)
{
	char head[128];

	printf("usage: viaduct --kernel FILE [OPTION...]\n"
	       "Runs a Linux guest on KVM. docs/viaduct.1 has the whole story.\n\n");
	for (const struct cmdline_option *o = cmdline_options; o->name; o++) {
		snprintf(head, sizeof(head), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		entry(head, o->help);
	}
	keys("--net", "keys of every NIC", nic_common_keys);
	for (const struct nic_ops *const *nic = nic_table; *nic; nic++) {
		snprintf(head, sizeof(head), "--net model=%s", (*nic)->name);
		keys(head, (*nic)->help, (*nic)->keys);
	}
	for (const struct hostnet_ops *const *hn = hostnet_table; *hn; hn++) {
		snprintf(head, sizeof(head), "--net backend=%s", (*hn)->name);
		keys(head, (*hn)->help, (*hn)->keys);
	}
	for (const struct plane_ops *const *plane = plane_table; *plane; plane++) {
		if (!(*plane)->keys)
			continue;
		snprintf(head, sizeof(head), "--net planes=%s", (*plane)->name);
		keys(head, (*plane)->help, (*plane)->keys);
	}
	keys("--disk", "keys of every disk", disk_common_keys);
	keys("--disk", "the image", block_common_keys);
	for (const struct disk_ops *const *disk = disk_table; *disk; disk++) {
		snprintf(head, sizeof(head), "--disk model=%s", (*disk)->name);
		keys(head, (*disk)->help, (*disk)->keys);
	}
	for (const struct block_ops *const *block = block_table; *block; block++) {
		snprintf(head, sizeof(head), "--disk format=%s", (*block)->name);
		keys(head, (*block)->help, (*block)->keys);
	}
	printf("\nExit status: 0 the guest powered off, 2 bad command line, 3 this host cannot do "
	       "it,\n4 the guest crashed, 1 anything else.\n");
}
