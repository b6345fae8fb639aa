// SPDX-License-Identifier: Apache-2.0
#include "relay/mailbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum kind { KIND_HOP, KIND_FOREIGN, KIND_STREAM, KIND_OUTSIDE, KINDS };
static const uint32_t places[KINDS] = { MAILBOX_HOP, MAILBOX_FOREIGN, MAILBOX_STREAM, MAILBOX_OUTSIDE };

enum { SLOTS = 2048 };
_Static_assert(SLOTS >= MAILBOX_HOP + MAILBOX_FOREIGN + MAILBOX_STREAM + MAILBOX_OUTSIDE, "places for all");

struct slot {
	struct media_up up;
	uint8_t bytes[PACKET_MAX_BYTES];
};

// Each side writes a cache line of its own. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct mailbox {
	int event;
	struct slot *slot;
	// The writer's
	_Alignas(64) uint32_t head;
	bool is_rung;
	uint32_t put[KINDS];
	// The reader's
	_Alignas(64) uint32_t tail;
	uint32_t released[KINDS];
	uint32_t taken; // up to here they are in the reader's hands
};

static enum kind kind_of(enum fanout_counter reason)
{
	switch (reason) {
	case FANOUT_up_hop:
		return KIND_HOP;
	case FANOUT_up_foreign:
		return KIND_FOREIGN;
	case FANOUT_up_stream:
		return KIND_STREAM;
	default:
		return KIND_OUTSIDE;
	}
}

struct mailbox *mailbox_new(void)
{
	struct mailbox *mailbox = aligned_alloc(64, sizeof(*mailbox));
	if (!mailbox)
		return NULL;
	memset(mailbox, 0, sizeof(*mailbox));
	mailbox->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	mailbox->slot = calloc(SLOTS, sizeof(*mailbox->slot));
	if (mailbox->event < 0 || !mailbox->slot) {
		mailbox_free(mailbox);
		return NULL;
	}
	return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
	if (!mailbox)
		return;
	if (mailbox->event >= 0)
		close(mailbox->event);
	free(mailbox->slot);
	free(mailbox);
}

bool mailbox_put(struct mailbox *mailbox, const struct media_up *up)
{
	enum kind kind = kind_of(up->reason);
	uint32_t released = __atomic_load_n(&mailbox->released[kind], __ATOMIC_ACQUIRE);
	if (mailbox->put[kind] - released >= places[kind] || up->size > PACKET_MAX_BYTES)
		return false;
	struct slot *slot = &mailbox->slot[mailbox->head % SLOTS];
	slot->up = *up;
	slot->up.bytes = slot->bytes;
	memcpy(slot->bytes, up->bytes, up->size);
	mailbox->put[kind]++;
	__atomic_store_n(&mailbox->head, mailbox->head + 1, __ATOMIC_RELEASE);
	mailbox->is_rung = true;
	return true;
}

void mailbox_wake(struct mailbox *mailbox)
{
	uint64_t one = 1;
	(void)!write(mailbox->event, &one, sizeof(one)); // fails only when it is readable anyway
}

void mailbox_ring(struct mailbox *mailbox)
{
	if (mailbox->is_rung)
		mailbox_wake(mailbox);
	mailbox->is_rung = false;
}

int mailbox_descriptor(const struct mailbox *mailbox) { return mailbox->event; }

void mailbox_hush(struct mailbox *mailbox)
{
	uint64_t count;
	(void)!read(mailbox->event, &count, sizeof(count));
}

bool mailbox_take(struct mailbox *mailbox, struct media_up *out)
{
	if (mailbox->taken == __atomic_load_n(&mailbox->head, __ATOMIC_ACQUIRE))
		return false;
	*out = mailbox->slot[mailbox->taken++ % SLOTS].up;
	return true;
}

// There are fewer places than slots, so a slot is not written again before its packet's place was given back here.
void mailbox_release(struct mailbox *mailbox)
{
	for (; mailbox->tail != mailbox->taken; mailbox->tail++) {
		enum kind kind = kind_of(mailbox->slot[mailbox->tail % SLOTS].up.reason);
		__atomic_store_n(&mailbox->released[kind], mailbox->released[kind] + 1, __ATOMIC_RELEASE);
	}
}
