// SPDX-License-Identifier: Apache-2.0
#include "client/engine/packet_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct packet_queue {
	pthread_mutex_t lock;
	int descriptor;
	size_t first, count;
	uint64_t dropped;
	struct packet_queue_item items[PACKET_QUEUE_MAX];
};

enum err packet_queue_new(struct packet_queue **out)
{
	struct packet_queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return ERR_NOMEM;
	queue->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->descriptor < 0) {
		free(queue);
		return ERR_IO;
	}
	pthread_mutex_init(&queue->lock, NULL);
	*out = queue;
	return ERR_OK;
}

void packet_queue_free(struct packet_queue *queue)
{
	if (!queue)
		return;
	close(queue->descriptor);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

int packet_queue_descriptor(const struct packet_queue *queue)
{
	return queue->descriptor;
}

void packet_queue_wake(struct packet_queue *queue)
{
	(void)eventfd_write(queue->descriptor, 1);
}

void packet_queue_settle(struct packet_queue *queue)
{
	eventfd_t ignored;
	(void)eventfd_read(queue->descriptor, &ignored);
}

// The next free item with the lock held, or NULL with the drop counted and the lock released.
static struct packet_queue_item *begin_push(struct packet_queue *queue, enum packet_queue_kind kind)
{
	pthread_mutex_lock(&queue->lock);
	if (queue->count == PACKET_QUEUE_MAX) {
		queue->dropped++;
		pthread_mutex_unlock(&queue->lock);
		return NULL;
	}
	struct packet_queue_item *item = &queue->items[(queue->first + queue->count++) % PACKET_QUEUE_MAX];
	item->kind = kind;
	return item;
}

static void end_push(struct packet_queue *queue)
{
	pthread_mutex_unlock(&queue->lock);
	packet_queue_wake(queue);
}

void packet_queue_push_media(struct packet_queue *queue, uint8_t stream, const struct packet_rtp *rtp,
			     const uint8_t *payload, size_t size)
{
	// A larger payload is cut by nothing on the way: refuse it here, where it is counted.
	if (size > PACKET_MEDIA_PAYLOAD_MAX) {
		pthread_mutex_lock(&queue->lock);
		queue->dropped++;
		pthread_mutex_unlock(&queue->lock);
		return;
	}
	struct packet_queue_item *item = begin_push(queue, PACKET_QUEUE_MEDIA);
	if (!item)
		return;
	item->stream = stream;
	item->rtp = *rtp;
	item->size = size;
	memcpy(item->payload, payload, size);
	pthread_mutex_unlock(&queue->lock);
}

void packet_queue_push_key_frame(struct packet_queue *queue, uint32_t ssrc)
{
	struct packet_queue_item *item = begin_push(queue, PACKET_QUEUE_KEY_FRAME);
	if (!item)
		return;
	item->rtp.ssrc = ssrc;
	end_push(queue);
}

void packet_queue_push_missing(struct packet_queue *queue, uint32_t ssrc, const uint16_t *sequences, size_t count)
{
	for (size_t done = 0; done < count;) {
		size_t part = count - done < HOP_NACK_MAX ? count - done : HOP_NACK_MAX;
		struct packet_queue_item *item = begin_push(queue, PACKET_QUEUE_MISSING);
		if (!item)
			return;
		item->rtp.ssrc = ssrc;
		item->size = part;
		memcpy(item->sequences, sequences + done, part * sizeof(*sequences));
		end_push(queue);
		done += part;
	}
}

bool packet_queue_pop(struct packet_queue *queue, struct packet_queue_item *out)
{
	pthread_mutex_lock(&queue->lock);
	bool has_item = queue->count > 0;
	if (has_item) {
		*out = queue->items[queue->first];
		queue->first = (queue->first + 1) % PACKET_QUEUE_MAX;
		queue->count--;
	}
	pthread_mutex_unlock(&queue->lock);
	return has_item;
}

uint64_t packet_queue_dropped(struct packet_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	uint64_t dropped = queue->dropped;
	pthread_mutex_unlock(&queue->lock);
	return dropped;
}
