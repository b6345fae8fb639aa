// Packets on their way from a media thread to the control thread: a ring with one writer and one reader, and an eventfd.
// Each kind has places of its own, so that a flood of one does not crowd out the others.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_MAILBOX_H
#define RELAY_MAILBOX_H

#include "relay/media.h"

struct mailbox;

enum { MAILBOX_HOP = 512, MAILBOX_FOREIGN = 128, MAILBOX_STREAM = 128, MAILBOX_OUTSIDE = 1024 }; // places

struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *mailbox);

// The writer's. Copies; false: its kind has no place left.
bool mailbox_put(struct mailbox *mailbox, const struct media_up *up);
void mailbox_ring(struct mailbox *mailbox); // once for each batch: wakes the reader if something was put

// The reader's. What was taken stays until it is released.
int mailbox_descriptor(const struct mailbox *mailbox); // readable after mailbox_ring
void mailbox_hush(struct mailbox *mailbox);            // before taking
bool mailbox_take(struct mailbox *mailbox, struct media_up *out);
void mailbox_release(struct mailbox *mailbox);
void mailbox_wake(struct mailbox *mailbox);            // the reader will come again, though nothing new is put

#endif
