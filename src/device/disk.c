// SPDX-License-Identifier: Apache-2.0
/*
 * Making a disk from its option text: which model, which back-end, which keys are legal for the
 * two together, and what holds where nothing was said.
 */
#include "device/disk.h"

#include "base/named_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define NAMES_MAX 16

const struct option_key disk_common_keys[] = {
	{"id", "NAME", "its name in messages and on the control socket (disk<N>)"},
	{"model", "MODEL", "what the guest sees (virtio-blk)"},
	{"serial", "TEXT", "its serial number (the id)"},
	{0},
};

const struct disk_ops *disk_find(const char *name)
{
	for (unsigned i = 0; disk_table[i]; i++)
		if (!strcmp(disk_table[i]->name, name))
			return disk_table[i];
	return NULL;
}

static int find_model(const struct options *opts, const struct disk_ops **out, struct error *err)
{
	const char *name = options_get(opts, "model"), *nearest;
	const char *names[NAMES_MAX] = {0};

	*out = name ? disk_find(name) : disk_table[0];
	if (*out)
		return 0;
	for (unsigned i = 0; i < NAMES_MAX - 1 && disk_table[i]; i++)
		names[i] = disk_table[i]->name;
	nearest = option_nearest(name, names);
	return error_set(err, -EINVAL, "model=%s: unknown model: %s%s", name,
			 nearest ? "did you mean model=" : "see --help", nearest ? nearest : "");
}

static int check_keys(const struct options *opts, const struct disk_ops *model, const char *what,
		      struct error *err)
{
	const struct option_key *tables[OPTION_TABLES_MAX] = {disk_common_keys, block_common_keys};
	const struct block_ops *block = block_for_options(opts, err);
	unsigned n = 2;

	if (!block)
		return -EINVAL;
	if (block->keys)
		tables[n++] = block->keys;
	if (model->keys)
		tables[n++] = model->keys;
	return options_check(opts, tables, what, err);
}

static int check_names(const struct disk_params *params, struct error *err)
{
	size_t len = strlen(params->id);

	if (!len || len >= sizeof(((struct disk *)0)->id))
		return error_set(err, -EINVAL, "id=%s: a name has 1 to 31 characters", params->id);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)params->id[i]) && !strchr("_.-", params->id[i]))
			return error_set(err, -EINVAL,
					 "id=%s: use letters, digits, '_', '.' and '-'",
					 params->id);
	if (strlen(params->serial) > DISK_SERIAL_MAX)
		return error_set(err, -EINVAL, "serial=%s: use up to %u characters", params->serial,
				 DISK_SERIAL_MAX);
	for (const char *p = params->serial; *p; p++)
		if (!isgraph((unsigned char)*p))
			return error_set(err, -EINVAL,
					 "serial=%s: use printable characters without blanks",
					 params->serial);
	return 0;
}

static int make(const struct options *opts, struct disk_params *params, const char *what,
		struct disk **out, struct pci_dev **pci, struct error *err)
{
	const struct disk_ops *model;
	int ret = find_model(opts, &model, err);

	if (!ret)
		ret = check_keys(opts, model, what, err);
	if (!ret)
		ret = check_names(params, err);
	if (!ret)
		ret = block_open(opts, params->id, params->home->loop, &params->block, err);
	if (ret)
		return ret;
	*pci = NULL;
	ret = model->create(params, out, pci, err);
	if (ret)
		block_close(params->block);
	return ret;
}

int disk_create(const char *text, unsigned index, struct disk_home *home, struct disk **out,
		struct pci_dev **pci, struct error *err)
{
	struct disk_params params = {.home = home};
	struct named_options n;
	int ret = named_options_parse(&n, "--disk", "disk", index, text, err);

	params.opts = &n.opts;
	params.id = n.id;
	params.serial = ret ? NULL : options_get(&n.opts, "serial");
	params.serial = params.serial ? params.serial : params.id;
	if (!ret)
		ret = make(&n.opts, &params, n.what, out, pci, err);
	return named_options_end(&n, ret, err);
}

void disk_init(struct disk *disk, const struct disk_ops *ops, const struct disk_params *params)
{
	disk->ops = ops;
	snprintf(disk->id, sizeof(disk->id), "%s", params->id);
	snprintf(disk->serial, sizeof(disk->serial), "%s", params->serial);
	disk->block = params->block;
	disk->block->id = disk->id;
}

struct pci_dev *disk_home_controller(const struct disk_home *home, const char *id)
{
	for (unsigned i = 0; i < home->ncontrollers; i++)
		if (!strcmp(home->controllers[i]->id, id))
			return home->controllers[i];
	return NULL;
}

void disk_home_add(struct disk_home *home, struct pci_dev *controller)
{
	if (home->ncontrollers < DISK_CONTROLLERS_MAX)
		home->controllers[home->ncontrollers++] = controller;
}

static void resized(void *opaque)
{
	struct disk *disk = opaque;

	disk->ops->resized(disk);
}

int disk_resize(struct disk *disk, uint64_t size, struct error *err)
{
	if (!disk->block->ops->resize || !disk->ops->resized)
		return error_set(err, -ENOTSUP, "%s: its size is whoever's has the image",
				 disk->id);
	disk->block->events = (struct block_events){.resized = resized, .opaque = disk};
	return disk->block->ops->resize(disk->block, size, err);
}

void disk_counters_add(struct disk_counters *sum, const struct disk_counters *c)
{
	for (unsigned i = 0; i < BLOCK_OPS; i++) {
		sum->ops[i] += __atomic_load_n(&c->ops[i], __ATOMIC_RELAXED);
		sum->bytes[i] += __atomic_load_n(&c->bytes[i], __ATOMIC_RELAXED);
	}
	sum->errors += __atomic_load_n(&c->errors, __ATOMIC_RELAXED);
	sum->bad_requests += __atomic_load_n(&c->bad_requests, __ATOMIC_RELAXED);
	sum->calls += __atomic_load_n(&c->calls, __ATOMIC_RELAXED);
	sum->bursts += __atomic_load_n(&c->bursts, __ATOMIC_RELAXED);
}

int disk_option(const struct options *opts, const char *key, uint64_t min, uint64_t max,
		unsigned *out, struct error *err)
{
	const char *text = options_get(opts, key);
	uint64_t value;
	int ret = text ? option_u64(key, text, min, max, &value, err) : 0;

	if (text && !ret)
		*out = (unsigned)value;
	return ret;
}
