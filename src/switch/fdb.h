/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SWITCH_FDB_H
#define SWITCH_FDB_H

#include "base/error.h"
#include "base/util.h"

/*
 * The forwarding database: (MAC, VLAN) → port. Workers look up and learn, any number at once and
 * without locks; the control thread ages, lists and adds static entries. See fdb.c.
 */
#define FDB_PORT_MAX 4095 /* ports are numbers up to here */
#define FDB_NONE     (-1)

struct fdb;

/** An address and a VLAN as one number: the address's bytes in memory order, then 12 bits. */
static inline uint64_t fdb_key(const uint8_t *mac, uint16_t vid)
{
	uint32_t low;
	uint16_t high;

	memcpy(&low, mac, 4);
	memcpy(&high, mac + 4, 2);
	return low | (uint64_t)high << 32 | (uint64_t)vid << 48;
}

static inline void fdb_key_mac(uint64_t key, uint8_t mac[6])
{
	memcpy(mac, &key, 6);
}

static inline uint16_t fdb_key_vid(uint64_t key)
{
	return (uint16_t)(key >> 48);
}

/** Whether it is a multicast address or the broadcast one: the first byte's lowest bit. */
static inline bool fdb_key_is_group(uint64_t key)
{
	return key & 1;
}

/** A table for about max entries (rounded up), all empty. NULL with err set if not. */
struct fdb *fdb_create(unsigned max, struct error *err);
void fdb_free(struct fdb *fdb);

/** Brings the entry's cache line; to be called some time before fdb_lookup() or fdb_learn(). */
void fdb_prefetch(const struct fdb *fdb, uint64_t key);

/** The port, or FDB_NONE. Any thread. */
int fdb_lookup(const struct fdb *fdb, uint64_t key);

/**
 * Notes that key was seen at port now (seconds of any clock, 16 bits of them count). Never waits:
 * when another thread is writing the same line, or the table is full there, nothing is learnt this
 * time. Returns whether the table says so now (a static entry elsewhere: false).
 */
bool fdb_learn(struct fdb *fdb, uint64_t key, unsigned port, uint16_t now);

/** Changes when an entry that had been there is gone or names another port. */
uint32_t fdb_generation(const struct fdb *fdb);

/* The control thread's. */

/** An entry that is neither aged nor moved. -ENOSPC when there is no room for it. */
int fdb_set_static(struct fdb *fdb, uint64_t key, unsigned port);

/** Removes an entry: -ENOENT if there is none. */
int fdb_remove(struct fdb *fdb, uint64_t key);

/** Removes what was last seen more than age seconds before now. Returns how many. */
unsigned fdb_age(struct fdb *fdb, uint16_t now, uint16_t age);

/** Removes all entries of a port, or (port < 0) all that are not static. Returns how many. */
unsigned fdb_flush(struct fdb *fdb, int port);

struct fdb_entry {
	uint64_t key;
	uint16_t port;
	uint16_t seen; /* of the clock given to fdb_learn() */
	bool is_static;
};

/** Calls fn for every entry, in no order; stops when it returns false. */
void fdb_each(const struct fdb *fdb, bool (*fn)(const struct fdb_entry *entry, void *arg),
	      void *arg);

struct fdb_stats {
	uint64_t entries, learned, moved, aged, full;
};
void fdb_stats(const struct fdb *fdb, struct fdb_stats *out);

#endif
