/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include "bus/bus.h"
#include "bus/host.h"
#include "mem/guest_mem.h"

#include <linux/kvm.h>
#include <pthread.h>

/*
 * One KVM virtual machine: the file descriptors, its memory slots, its interrupt routes, its
 * ioeventfds and its vCPUs. It knows no device; what a vCPU's accesses reach is on the two buses.
 */
#define VM_GSI_FIRST_MSI 24   /* the IOAPIC's pins are 0..23 */
#define VM_GSI_MAX	 4096 /* routes at most; KVM may offer fewer */

enum vm_slot_kind {
	VM_SLOT_RAM, /* follows the memory table */
	VM_SLOT_DEVICE,
	VM_SLOT_LENT, /* bus/host.h, lend_memory */
};

struct vm_slot {
	uint64_t gpa, size;
	void *hva;
	uint32_t flags;
	bool used;
	enum vm_slot_kind kind;
};

/* Message routes, from VM_GSI_FIRST_MSI up; see irq.c. */
struct vm_route {
	struct msi_msg msg;
	bool used;
};

struct vm_options {
	unsigned cpus;
	bool no_irqfd;	   /* test aid: devices must do without */
	bool no_ioeventfd; /* likewise */
	bool no_coalesce;  /* likewise for batched port writes */
};

struct vcpu;
struct vm;

/* Where vCPUs stand still; see vcpu.c. */
struct vcpu_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic unsigned closed; /* reasons to stand still; written under lock */
	unsigned running;	 /* threads that are not parked */
	uint64_t opened;	 /* times it was opened */
	bool ending;
};

/** What the machine is told by its vCPUs; called in a vCPU's thread. */
struct vm_events {
	/** The guest is beyond help: triple fault, or an exit that KVM does not expect to survive. */
	void (*crashed)(void *opaque, const char *why);
	/** This KVM cannot run this guest. */
	void (*unsupported)(void *opaque, const char *why);
	/** Batched port writes were delivered (coalesced.c): flush what waits for more. */
	void (*batch_done)(void *opaque);
	void *opaque;
};

struct vm {
	struct bus_host host; /* first: devices hold a pointer to it */
	struct vm_options opts;
	struct vm_events events;
	int kvm_fd, fd;
	int vfio_fd;	 /* KVM's device that is told of passthrough; -1: none yet */
	size_t run_size; /* bytes of a vCPU's shared page(s) */
	struct bus *pio, *mmio;

	struct guest_mem *mem;
	struct mem_listener mem_listener;
	pthread_mutex_t slots_lock;
	struct vm_slot *slots;
	unsigned nslots;
	uint64_t taken_back; /* how often lent memory was unmapped; under slots_lock */

	pthread_mutex_t routes_lock;
	struct vm_route *routes;
	unsigned nroutes, max_routes;

	struct kvm_coalesced_mmio_ring *ring; /* NULL: KVM has none */
	unsigned ring_entries;
	uint64_t batched; /* writes that came through it */
	pthread_mutex_t ring_lock;

	struct kvm_cpuid2 *cpuid; /* what KVM supports, before it is fitted to a vCPU */
	uint8_t phys_bits;
	struct vcpu **vcpus;
	unsigned nvcpus;
	struct vcpu_gate gate;
	struct vm_saved_chips *saved_chips;
};

/** Whether this host's KVM can run Viaduct at all; err says exactly what is in the way. */
int vm_probe(struct error *err);

/**
 * Creates the virtual machine with its interrupt controllers and timer, no memory, no vCPU yet.
 * loop is what devices find in bus_host.
 */
int vm_create(const struct vm_options *opts, struct loop *loop, struct vm **out, struct error *err);

/** Gives KVM the guest's memory and follows its changes. gm must outlive the vm. */
int vm_set_memory(struct vm *vm, struct guest_mem *gm, struct error *err);

/** No vCPU thread may run any more. */
void vm_destroy(struct vm *vm);

/** Reads guest memory for a message. 0 or -EFAULT. From any thread. */
int vm_peek(struct vm *vm, uint64_t gpa, void *buf, size_t len);

/** Puts the interrupt controllers and the timer back to how they were after vm_create(). */
int vm_reset_chips(struct vm *vm);

/** Delivers the writes that wait in the ring; returns how many there were. Any thread. */
unsigned vm_coalesced_drain(struct vm *vm);

/* The parts, each in its own file. */
int vm_slots_init(struct vm *vm, struct error *err);
void vm_slots_destroy(struct vm *vm);
int vm_slot_set(struct vm *vm, uint64_t gpa, uint64_t size, void *hva, bool readonly,
		enum vm_slot_kind kind);
/**
 * A vCPU could not reach memory: unmaps all that is lent. Returns whether that, or another's doing,
 * has taken any back since *seen (the vCPU's own, 0 at first), and it is worth another try.
 */
bool vm_slots_take_back(struct vm *vm, uint64_t *seen);
int vm_slot_clear(struct vm *vm, uint64_t gpa);

int vm_irq_init(struct vm *vm, struct error *err);
void vm_irq_destroy(struct vm *vm);
extern const struct bus_host_ops vm_host_ops;
int vm_irqfd_attach(struct bus_host *host, int eventfd, const struct msi_msg *msg,
		    unsigned *handle);
int vm_irqfd_update(struct bus_host *host, unsigned handle, const struct msi_msg *msg);
void vm_irqfd_detach(struct bus_host *host, int eventfd, unsigned handle);
int vm_msi_send(struct bus_host *host, const struct msi_msg *msg);
void vm_irq_line(struct bus_host *host, unsigned gsi, bool level);
int vm_irqfd_line(struct bus_host *host, bool add, unsigned gsi, int eventfd, int resample);
void vm_vfio_file(struct bus_host *host, bool add, int fd);

int vm_ioeventfd(struct bus_host *host, bool add, enum bus_space space, uint64_t addr, unsigned len,
		 int eventfd);

/** struct bus_host_ops' coalesce; see coalesced.c. */
int vm_coalesce(struct bus_host *host, bool add, enum bus_space space, uint64_t addr, unsigned len);
void vm_host_drain(struct bus_host *host);

/** KVM_GET_SUPPORTED_CPUID, whatever its length. free() it. */
int vm_cpuid_supported(int kvm_fd, struct kvm_cpuid2 **out, struct error *err);

static inline struct vm *vm_of(struct bus_host *host)
{
	return container_of(host, struct vm, host);
}

#endif
