/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation.
 *
 * Buckets of one cache line, five entries each, two candidate buckets for a key: an entry goes into
 * the first with room, and the second is looked at only when the first says that something spilled
 * from it. So nearly every lookup, also one that finds nothing, is one line, which is asked for
 * (fdb_prefetch) for a whole burst before the first is needed.
 *
 * Readers take no lock. A writer makes its bucket's sequence number odd, with a compare-and-swap
 * that is also its lock against other writers, and even again when it is done; a reader that finds
 * the number odd or changed looks again, a bounded number of times, and then says that it knows
 * nothing, which costs a flooded frame. A worker that does not get the lock at once does not learn:
 * the next frame of that sender will. Nobody ever waits for anybody.
 *
 * Moving a key between ports keeps its slot. An entry that spilled stays where it is when its first
 * bucket gets room; both are looked at as long as the first is marked, and it is unmarked only when
 * the table is flushed. A key may not be in both: who inserts looks at both first. Two workers that
 * insert the same new key in two buckets at once can only do so when the first bucket's last free
 * slot was taken in between; the first bucket's entry wins, and the other ages.
 *
 * The hash is keyed with a random number, so that nobody can choose addresses that meet in one
 * bucket.
 *
 * generation counts changes of what was known. A worker that keeps its last result for a burst
 * compares it.
 */
#include "switch/fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SLOTS	 5
#define TRIES	 64
#define STATIC	 0x1000U /* in val, with the port below it and the time seen above */
#define SPILLED	 1U	 /* in seq: of the two lowest bits */
#define WRITING	 2U
#define SEQ_STEP 4U

struct bucket {
	uint32_t seq; /* count << 2 | WRITING | SPILLED */
	uint32_t val[SLOTS];
	uint64_t key[SLOTS]; /* 0: free */
} __cacheline_al;
_Static_assert(sizeof(struct bucket) == CACHE_LINE, "a bucket is a line");

struct fdb {
	struct bucket *buckets;
	uint64_t mask;
	uint64_t seed;
	size_t bytes;
	uint32_t generation __cacheline_al;
	uint64_t learned __cacheline_al; /* written by several, with atomics: not a hot path */
	uint64_t moved, aged, full, removed;
};

static uint64_t hash(const struct fdb *fdb, uint64_t key)
{
	uint64_t h = (key ^ fdb->seed) * 0x9e3779b97f4a7c15ULL;

	h ^= h >> 32;
	return h * 0xd6e8feb86659fd93ULL;
}

static struct bucket *first(const struct fdb *fdb, uint64_t h)
{
	return &fdb->buckets[(h >> 36) & fdb->mask];
}

static struct bucket *second(const struct fdb *fdb, uint64_t h)
{
	/* Never the first: the difference is odd. */
	return &fdb->buckets[((h >> 36) ^ (h >> 8 | 1)) & fdb->mask];
}

struct fdb *fdb_create(unsigned max, struct error *err)
{
	uint64_t buckets = 16;
	struct fdb *fdb = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*fdb), CACHE_LINE));

	if (!fdb) {
		error_set(err, -ENOMEM, "forwarding database: out of memory");
		return NULL;
	}
	memset(fdb, 0, sizeof(*fdb));
	while (buckets * 2 < max) /* two entries a line on average, of five */
		buckets *= 2;
	fdb->mask = buckets - 1;
	fdb->bytes = ALIGN_UP(buckets * sizeof(struct bucket), 2 * MIB);
	fdb->buckets =
		mmap(NULL, fdb->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fdb->buckets == MAP_FAILED) {
		error_set(err, -errno, "forwarding database: no memory for %u entries: %s", max,
			  error_name(errno));
		free(fdb);
		return NULL;
	}
	madvise(fdb->buckets, fdb->bytes, MADV_HUGEPAGE);
	if (getrandom(&fdb->seed, sizeof(fdb->seed), GRND_NONBLOCK) != sizeof(fdb->seed))
		fdb->seed = clock_ns();
	return fdb;
}

void fdb_free(struct fdb *fdb)
{
	if (!fdb)
		return;
	munmap(fdb->buckets, fdb->bytes);
	free(fdb);
}

void fdb_prefetch(const struct fdb *fdb, uint64_t key)
{
	__builtin_prefetch(first(fdb, hash(fdb, key)));
}

uint32_t fdb_generation(const struct fdb *fdb)
{
	return __atomic_load_n(&fdb->generation, __ATOMIC_ACQUIRE);
}

static uint32_t load_seq(const struct bucket *b)
{
	return __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE);
}

static uint64_t load_key(const struct bucket *b, unsigned i)
{
	return __atomic_load_n(&b->key[i], __ATOMIC_ACQUIRE);
}

static uint32_t load_val(const struct bucket *b, unsigned i)
{
	return __atomic_load_n(&b->val[i], __ATOMIC_ACQUIRE);
}

/* The key's value in this bucket; false if it is not here. *seq: as it was throughout. */
static bool bucket_find(const struct bucket *b, uint64_t key, uint32_t *val, uint32_t *seq)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		bool found = false;

		*seq = load_seq(b);
		if (unlikely(*seq & WRITING)) {
			cpu_relax();
			continue;
		}
		for (unsigned i = 0; i < SLOTS; i++) {
			if (load_key(b, i) == key) {
				*val = load_val(b, i);
				found = true;
				break;
			}
		}
		if (likely(load_seq(b) == *seq))
			return found;
	}
	return false;
}

int fdb_lookup(const struct fdb *fdb, uint64_t key)
{
	uint64_t h = hash(fdb, key);
	uint32_t val = 0, seq = 0;

	if (bucket_find(first(fdb, h), key, &val, &seq))
		return (int)(val & FDB_PORT_MAX);
	if (unlikely(seq & SPILLED) && bucket_find(second(fdb, h), key, &val, &seq))
		return (int)(val & FDB_PORT_MAX);
	return FDB_NONE;
}

/* --- writing */

static bool bucket_lock(struct bucket *b)
{
	uint32_t seq = __atomic_load_n(&b->seq, __ATOMIC_RELAXED);

	return !(seq & WRITING) && __atomic_compare_exchange_n(&b->seq, &seq, seq | WRITING, false,
							       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void bucket_wait(struct bucket *b)
{
	while (!bucket_lock(b))
		cpu_relax();
}

static void bucket_unlock(struct bucket *b, uint32_t mark)
{
	uint32_t seq = __atomic_load_n(&b->seq, __ATOMIC_RELAXED);

	__atomic_store_n(&b->seq, ((seq & ~WRITING) + SEQ_STEP) | mark, __ATOMIC_RELEASE);
}

static void put(struct bucket *b, unsigned i, uint64_t key, uint32_t val)
{
	/* Released, so that who sees them sees the sequence number odd before. */
	__atomic_store_n(&b->val[i], val, __ATOMIC_RELEASE);
	__atomic_store_n(&b->key[i], key, __ATOMIC_RELEASE);
}

static int slot_of(const struct bucket *b, uint64_t key)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (load_key(b, i) == key)
			return (int)i;
	return -1;
}

static void bump(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void changed(struct fdb *fdb)
{
	__atomic_fetch_add(&fdb->generation, 1, __ATOMIC_RELEASE);
}

/* Puts a new key into a locked bucket, or into its other one. */
static bool insert(struct fdb *fdb, uint64_t key, uint32_t val, struct bucket *b,
		   struct bucket *other)
{
	int i = slot_of(b, 0);
	uint32_t mark = 0;
	bool done = true;

	if (i >= 0) {
		put(b, (unsigned)i, key, val);
	} else if (bucket_lock(other)) {
		i = slot_of(other, 0);
		done = i >= 0;
		if (done)
			put(other, (unsigned)i, key, val);
		bucket_unlock(other, 0);
		mark = done ? SPILLED : 0;
	} else {
		done = false;
	}
	bucket_unlock(b, mark);
	bump(done ? &fdb->learned : &fdb->full);
	return done;
}

/* Gives an entry that is there a new value. wait: for the bucket's lock. */
static bool update(struct fdb *fdb, struct bucket *b, uint64_t key, uint32_t val, bool wait)
{
	int i;

	if (wait)
		bucket_wait(b);
	else if (!bucket_lock(b))
		return false;
	i = slot_of(b, key);
	if (i >= 0 && ((val & STATIC) || !(load_val(b, (unsigned)i) & STATIC)))
		put(b, (unsigned)i, key, val);
	else
		i = -1;
	bucket_unlock(b, 0);
	return i >= 0;
}

/* The bucket that has the key. */
static struct bucket *find(const struct fdb *fdb, uint64_t key, uint32_t *val)
{
	uint64_t h = hash(fdb, key);
	uint32_t seq = 0;

	if (bucket_find(first(fdb, h), key, val, &seq))
		return first(fdb, h);
	if ((seq & SPILLED) && bucket_find(second(fdb, h), key, val, &seq))
		return second(fdb, h);
	return NULL;
}

bool fdb_learn(struct fdb *fdb, uint64_t key, unsigned port, uint16_t now)
{
	uint32_t val = 0, want = port | (uint32_t)now << 16;
	struct bucket *b = find(fdb, key, &val);
	uint64_t h;

	if (likely(b)) {
		bool moved = (val & FDB_PORT_MAX) != port;

		if (likely(!moved && (val & STATIC || val == want)))
			return true;
		if ((val & STATIC) || !update(fdb, b, key, want, false))
			return !moved;
		if (moved) {
			bump(&fdb->moved);
			changed(fdb);
		}
		return true;
	}
	h = hash(fdb, key);
	if (!bucket_lock(first(fdb, h)))
		return false;
	if (unlikely(slot_of(first(fdb, h), key) >= 0)) { /* somebody was faster */
		bucket_unlock(first(fdb, h), 0);
		return true;
	}
	return insert(fdb, key, want, first(fdb, h), second(fdb, h));
}

int fdb_set_static(struct fdb *fdb, uint64_t key, unsigned port)
{
	uint32_t val = 0, want = port | STATIC;
	uint64_t h = hash(fdb, key);
	struct bucket *b = find(fdb, key, &val);

	changed(fdb);
	if (b && update(fdb, b, key, want, true))
		return 0;
	bucket_wait(first(fdb, h));
	return insert(fdb, key, want, first(fdb, h), second(fdb, h)) ? 0 : -ENOSPC;
}

/* Removes the entries that `gone` says. */
static unsigned sweep(struct fdb *fdb, bool (*gone)(uint32_t val, uint32_t arg), uint32_t arg)
{
	unsigned n = 0;

	for (uint64_t at = 0; at <= fdb->mask; at++) {
		struct bucket *b = &fdb->buckets[at];

		for (unsigned i = 0; i < SLOTS; i++) {
			if (!load_key(b, i) || !gone(load_val(b, i), arg))
				continue;
			bucket_wait(b);
			if (load_key(b, i) && gone(load_val(b, i), arg)) {
				put(b, i, 0, 0);
				n++;
			}
			bucket_unlock(b, 0);
		}
	}
	if (n) {
		changed(fdb);
		__atomic_fetch_add(&fdb->removed, n, __ATOMIC_RELAXED);
	}
	return n;
}

static bool is_old(uint32_t val, uint32_t arg)
{
	uint16_t now = (uint16_t)arg, seen = (uint16_t)(val >> 16);

	/* A worker may be a second ahead of the clock that is asked here. */
	return !(val & STATIC) && (int16_t)(now - seen) > 0 && (uint16_t)(now - seen) > arg >> 16;
}

static bool is_of_port(uint32_t val, uint32_t port)
{
	return (val & FDB_PORT_MAX) == port;
}

static bool is_dynamic(uint32_t val, uint32_t arg)
{
	return !(val & STATIC);
}

unsigned fdb_age(struct fdb *fdb, uint16_t now, uint16_t age)
{
	unsigned n = sweep(fdb, is_old, now | (uint32_t)age << 16);

	__atomic_fetch_add(&fdb->aged, n, __ATOMIC_RELAXED);
	return n;
}

unsigned fdb_flush(struct fdb *fdb, int port)
{
	return port < 0 ? sweep(fdb, is_dynamic, 0) : sweep(fdb, is_of_port, (uint32_t)port);
}

int fdb_remove(struct fdb *fdb, uint64_t key)
{
	uint32_t val = 0;
	struct bucket *b = find(fdb, key, &val);
	int i;

	if (!b)
		return -ENOENT;
	bucket_wait(b);
	i = slot_of(b, key);
	if (i >= 0)
		put(b, (unsigned)i, 0, 0);
	bucket_unlock(b, 0);
	if (i < 0)
		return -ENOENT;
	bump(&fdb->removed);
	changed(fdb);
	return 0;
}

void fdb_each(const struct fdb *fdb, bool (*fn)(const struct fdb_entry *entry, void *arg),
	      void *arg)
{
	for (uint64_t at = 0; at <= fdb->mask; at++) {
		for (unsigned i = 0; i < SLOTS; i++) {
			const struct bucket *b = &fdb->buckets[at];
			struct fdb_entry e = {.key = load_key(b, i)};
			uint32_t val = load_val(b, i);

			e.port = val & FDB_PORT_MAX;
			e.seen = (uint16_t)(val >> 16);
			e.is_static = val & STATIC;
			if (e.key && !fn(&e, arg))
				return;
		}
	}
}

void fdb_stats(const struct fdb *fdb, struct fdb_stats *out)
{
	out->learned = __atomic_load_n(&fdb->learned, __ATOMIC_RELAXED);
	out->moved = __atomic_load_n(&fdb->moved, __ATOMIC_RELAXED);
	out->aged = __atomic_load_n(&fdb->aged, __ATOMIC_RELAXED);
	out->full = __atomic_load_n(&fdb->full, __ATOMIC_RELAXED);
	out->entries = out->learned - __atomic_load_n(&fdb->removed, __ATOMIC_RELAXED);
}
