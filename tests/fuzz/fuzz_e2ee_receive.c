// A stream of datagrams and membership changes at the receiving side of media protection. Nothing that is not made by
// the sender may be opened. Input: a size byte and so many bytes each. SPDX-License-Identifier: Apache-2.0
#include "client/engine/e2ee/media_crypt_receive.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void on_media(void *context, const struct packet_rtp *rtp, const uint8_t *payload, size_t size, uint64_t arrival_ns)
{
	(void)context, (void)rtp, (void)payload, (void)size, (void)arrival_ns;
	abort(); // the fuzzer has no key
}

static void change_members(struct media_crypt_receive *receive, const uint8_t *bytes)
{
	const struct id participant = { { bytes[0] & 3 } };
	const uint8_t run[E2EE_RUN_BYTES] = { bytes[1] & 3 };
	if (bytes[0] & 0x80)
		media_crypt_receive_gone(receive, &participant);
	else if (media_crypt_receive_member(receive, bytes[2] & 3, &participant, run) == ERR_OK)
		media_crypt_receive_release(receive, bytes[2] & 3, bytes[3]);
	(void)media_crypt_receive_expire(receive, bytes[3] * 100u);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct e2ee *e2ee;
	struct session_counters counters = { 0 };
	struct media_crypt_receive *receive;
	const struct e2ee_options keys = { .secret = (const uint8_t[TOKEN_SECRET_BYTES]){ 1 } };
	if (!e2ee && (srtp_box_library_init() != ERR_OK || e2ee_new(&keys, &e2ee) != ERR_OK))
		abort();
	const struct media_crypt_receive_options options = { .e2ee = e2ee, .counters = &counters, .on_media = on_media };
	if (media_crypt_receive_new(&options, &receive) != ERR_OK)
		return 0;
	while (size > 1) {
		size_t part = bytes[0] < size ? bytes[0] : size - 1;
		uint8_t datagram[UINT8_MAX];
		memcpy(datagram, bytes + 1, part);
		if (part == 4)
			change_members(receive, datagram);
		else
			media_crypt_receive_packet(receive, datagram, part, 0, 0);
		bytes += part + 1;
		size -= part + 1;
	}
	media_crypt_receive_free(receive);
	return 0;
}
