/* SPDX-License-Identifier: Apache-2.0 */
/* Which process has a device: who has its VFIO file open. */
#include "hostpci/sriov.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* Whether one of the process's files is one of the two. */
static bool has_open(const char *proc, const char *pid, const char *group, const char *node)
{
	char path[PATH_MAX], target[128];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s/fd", proc, pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s/fd/%s", proc, pid, entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		found = !strcmp(target, group) || (node[0] && !strcmp(target, node));
	}
	closedir(dir);
	return found;
}

static void process_name(const char *proc, const char *pid, char *text, size_t room)
{
	char path[PATH_MAX], name[32] = "process";
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/comm", proc, pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
	snprintf(text, room, "%s %s", name, pid);
}

void sriov_user(const char *proc, const struct sriov_nic *nic, char *text, size_t room)
{
	char group[32], node[40] = "";
	const struct dirent *entry;
	DIR *dir = opendir(proc);

	text[0] = '\0';
	snprintf(group, sizeof(group), "/dev/vfio/%d", nic->pci.group);
	if (nic->vfio_node[0])
		snprintf(node, sizeof(node), "/dev/vfio/devices/%s", nic->vfio_node);
	while (dir && !text[0] && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    has_open(proc, entry->d_name, group, node))
			process_name(proc, entry->d_name, text, room);
	if (dir)
		closedir(dir);
}
