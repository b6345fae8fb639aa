// Events on their way from the session thread to the caller. Thread-safe. SPDX-License-Identifier: Apache-2.0
#ifndef CLIENT_ENGINE_EVENT_QUEUE_H
#define CLIENT_ENGINE_EVENT_QUEUE_H

#include "client/engine/engine.h"

enum { EVENT_QUEUE_MAX = 512 };

struct event_queue;

enum err event_queue_new(struct event_queue **out) CHECK_RESULT;
void event_queue_free(struct event_queue *queue);
int event_queue_descriptor(const struct event_queue *queue); // readable while events wait
// ERR_FULL if the caller does not fetch its events. There is always room for one ENGINE_EVENT_ENDED.
enum err event_queue_push(struct event_queue *queue, const struct engine_event *event) CHECK_RESULT;
bool event_queue_pop(struct event_queue *queue, struct engine_event *out);

#endif
