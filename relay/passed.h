// Connections that the mux took on the shared port 443 and passes here as descriptors.
// SPDX-License-Identifier: Apache-2.0
#ifndef RELAY_PASSED_H
#define RELAY_PASSED_H

#include "base/err.h"

#include <stdbool.h>

struct relay;
struct passed;

// `listener`: SOCK_SEQPACKET, its owner's from here on; watched by the relay's loop.
enum err passed_open(struct relay *relay, int listener, struct passed **out) CHECK_RESULT;
void passed_close(struct passed *passed);
bool passed_owns(const struct passed *passed, int descriptor);
// The listener or one of the mux' connections is readable.
void passed_receive(struct passed *passed, int descriptor);

#endif
