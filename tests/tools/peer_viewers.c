// Viewers of a Janus stream for the benchmark: each is a WebRTC endpoint as small as can be, ICE lite (RFC 8445) and the
// client's side of DTLS-SRTP (RFC 5764). They ask Janus through its UNIX socket for the stream, answer its checks, shake
// hands, and let the media pass by. SPDX-License-Identifier: Apache-2.0
#include "tests/tools/stun.h"

#include "base/text.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <yyjson.h>

enum { VIEWERS_MAX = 256, MESSAGE_MAX = 65536, DATAGRAM_MAX = 2048, SETUP_S = 15, DTLS_MTU = 1200 };
#define PASSWORD "benchmarkbenchmarkbenchm"
#define UFRAG "bench"

struct viewer {
	uint64_t handle; // of Janus
	SSL *ssl;
	BIO *in, *out; // owned by ssl
	struct sockaddr_in own, janus;
	int fd;
	bool is_done;
};

static struct viewer viewers[VIEWERS_MAX];
static char fingerprint[3 * 32 + 1]; // as in SDP

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("peer_viewers: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

// ---------------------------------------------------------------- certificate and DTLS

static SSL_CTX *make_tls(void)
{
	SSL_CTX *tls = SSL_CTX_new(DTLS_client_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	uint8_t digest[32];
	unsigned size = sizeof(digest);
	if (!tls || !key || !certificate || X509_set_pubkey(certificate, key) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) || !X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) ||
	    X509_sign(certificate, key, EVP_sha256()) == 0 || SSL_CTX_use_certificate(tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(tls, key) != 1 || X509_digest(certificate, EVP_sha256(), digest, &size) != 1 ||
	    SSL_CTX_set_tlsext_use_srtp(tls, "SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80") != 0)
		die("cannot make a certificate");
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(fingerprint + 3 * i, 4, "%02X:", digest[i]);
	fingerprint[3 * sizeof(digest) - 1] = 0;
	X509_free(certificate);
	EVP_PKEY_free(key);
	SSL_CTX_set_options(tls, SSL_OP_NO_QUERY_MTU);
	return tls;
}

static void dtls_start(struct viewer *viewer, SSL_CTX *tls)
{
	viewer->ssl = SSL_new(tls);
	viewer->in = BIO_new(BIO_s_mem());
	viewer->out = BIO_new(BIO_s_dgram_mem());
	if (!viewer->ssl || !viewer->in || !viewer->out)
		die("out of memory");
	BIO_set_mem_eof_return(viewer->in, -1);
	SSL_set_bio(viewer->ssl, viewer->in, viewer->out);
	SSL_set_mtu(viewer->ssl, DTLS_MTU);
	SSL_set_connect_state(viewer->ssl);
}

// Go on with the handshake and send what it wants to send.
static void dtls_step(struct viewer *viewer)
{
	uint8_t datagram[DATAGRAM_MAX];
	int result = SSL_do_handshake(viewer->ssl), size;
	if (result == 1)
		viewer->is_done = true;
	else if (SSL_get_error(viewer->ssl, result) != SSL_ERROR_WANT_READ)
		die("the DTLS handshake with Janus failed");
	while ((size = BIO_read(viewer->out, datagram, sizeof(datagram))) > 0)
		(void)sendto(viewer->fd, datagram, (size_t)size, 0, (struct sockaddr *)&viewer->janus, sizeof(viewer->janus));
}

// ---------------------------------------------------------------- ICE

static void answer_check(const struct viewer *viewer, const uint8_t *request, const struct sockaddr_in *from)
{
	struct stun answer;
	stun_begin(&answer, STUN_BINDING_SUCCESS, request + 8);
	stun_add_address(&answer, STUN_XOR_MAPPED_ADDRESS, from);
	stun_sign(&answer, PASSWORD);
	(void)sendto(viewer->fd, answer.bytes, answer.size, 0, (const struct sockaddr *)from, sizeof(*from));
}

static void receive(struct viewer *viewer, SSL_CTX *tls)
{
	uint8_t datagram[DATAGRAM_MAX];
	struct sockaddr_in from;
	socklen_t from_size = sizeof(from);
	ssize_t size = recvfrom(viewer->fd, datagram, sizeof(datagram), MSG_DONTWAIT, (struct sockaddr *)&from, &from_size);
	if (size <= 0)
		return;
	if (stun_is(datagram, (size_t)size)) {
		if (stun_type(datagram) != STUN_BINDING)
			return;
		answer_check(viewer, datagram, &from);
		viewer->janus = from;
		if (!viewer->ssl) {
			dtls_start(viewer, tls);
			dtls_step(viewer);
		}
	} else if (viewer->ssl && !viewer->is_done && datagram[0] >= 20 && datagram[0] < 64) {
		BIO_write(viewer->in, datagram, (int)size);
		dtls_step(viewer);
	}
}

// ---------------------------------------------------------------- Janus

static int janus_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_sec = SETUP_S };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		die("%s: not a usable path", path);
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static void janus_send(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void janus_send(int fd, const char *format, ...)
{
	static char text[MESSAGE_MAX];
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (send(fd, text, (size_t)size, 0) != size)
		die("Janus does not listen: %s", strerror(errno));
}

// The next message of that kind, `kind` being its "janus" field; others are passed over. To be freed.
static yyjson_doc *janus_await(int fd, const char *kind)
{
	static char text[MESSAGE_MAX];
	for (;;) {
		ssize_t size = recv(fd, text, sizeof(text), 0);
		if (size <= 0)
			die("Janus does not answer with \"%s\"", kind);
		yyjson_doc *document = yyjson_read(text, (size_t)size, 0);
		const char *is = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(document), "janus"));
		if (is && strcmp(is, kind) == 0)
			return document;
		if (!is || strcmp(is, "error") == 0)
			die("Janus answers: %.*s", (int)size, text);
		yyjson_doc_free(document);
	}
}

static uint64_t janus_made(int fd)
{
	yyjson_doc *document = janus_await(fd, "success");
	uint64_t id = yyjson_get_uint(yyjson_ptr_get(yyjson_doc_get_root(document), "/data/id"));
	yyjson_doc_free(document);
	return id;
}

// Value of an SDP line that begins so; false: none.
static bool sdp_find(const char *sdp, const char *begin, char *out, size_t size)
{
	const char *at = strstr(sdp, begin);
	if (!at)
		return false;
	at += strlen(begin);
	size_t length = strcspn(at, "\r\n");
	if (length >= size)
		return false;
	memcpy(out, at, length);
	out[length] = 0;
	return true;
}

// One viewer asks for stream 1 and answers the offer.
static void watch(int fd, uint64_t session, struct viewer *viewer)
{
	char mid[32], address[INET_ADDRSTRLEN];
	janus_send(fd, "{\"janus\":\"attach\",\"session_id\":%lu,\"plugin\":\"janus.plugin.streaming\",\"transaction\":\"a\"}", session);
	viewer->handle = janus_made(fd);
	janus_send(fd, "{\"janus\":\"message\",\"session_id\":%lu,\"handle_id\":%lu,\"transaction\":\"w\",\"body\":{\"request\":\"watch\",\"id\":1}}",
		   session, viewer->handle);
	yyjson_doc *document = janus_await(fd, "event");
	const char *offer = yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(document), "/jsep/sdp"));
	if (!offer || !sdp_find(offer, "a=mid:", mid, sizeof(mid)))
		die("Janus offers no stream");
	inet_ntop(AF_INET, &viewer->own.sin_addr, address, sizeof(address));
	janus_send(fd, "{\"janus\":\"message\",\"session_id\":%lu,\"handle_id\":%lu,\"transaction\":\"s\",\"body\":{\"request\":\"start\"},"
		   "\"jsep\":{\"type\":\"answer\",\"sdp\":\"v=0\\r\\no=- 1 1 IN IP4 %s\\r\\ns=-\\r\\nt=0 0\\r\\na=ice-lite\\r\\na=group:BUNDLE %s\\r\\n"
		   "m=video 9 UDP/TLS/RTP/SAVPF 96\\r\\nc=IN IP4 %s\\r\\na=mid:%s\\r\\na=recvonly\\r\\na=rtcp-mux\\r\\na=ice-ufrag:" UFRAG "\\r\\n"
		   "a=ice-pwd:" PASSWORD "\\r\\na=fingerprint:sha-256 %s\\r\\na=setup:active\\r\\na=rtpmap:96 VP8/90000\\r\\n"
		   "a=candidate:1 1 udp 2130706431 %s %u typ host\\r\\na=end-of-candidates\\r\\n\"}}",
		   session, viewer->handle, address, mid, address, mid, fingerprint, address, ntohs(viewer->own.sin_port));
	yyjson_doc_free(document);
	yyjson_doc_free(janus_await(fd, "event"));
}

// ---------------------------------------------------------------- all together

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Serve all until every handshake is done, or for ever.
static void serve(struct viewer *all, size_t count, SSL_CTX *tls, bool is_for_ever)
{
	struct pollfd polled[VIEWERS_MAX];
	double end = now_s() + SETUP_S;
	for (size_t done = 0; is_for_ever || done < count;) {
		for (size_t i = 0; i < count; i++)
			polled[i] = (struct pollfd){ .fd = all[i].fd, .events = POLLIN };
		if (poll(polled, count, 50) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		done = 0;
		for (size_t i = 0; i < count; i++) {
			if (polled[i].revents)
				receive(&all[i], tls);
			if (all[i].ssl && !all[i].is_done && DTLSv1_handle_timeout(all[i].ssl) > 0)
				dtls_step(&all[i]);
			done += all[i].is_done;
		}
		if (!is_for_ever && now_s() > end)
			die("only %zu of %zu viewers reached Janus", done, count);
	}
}

int main(int argc, char **argv)
{
	uint64_t count, port;
	struct in_addr first;
	if (argc != 5 || inet_pton(AF_INET, argv[2], &first) != 1 || text_u64_parse(argv[3], 1, 65535, &port) ||
	    text_u64_parse(argv[4], 1, VIEWERS_MAX, &count)) {
		fputs("usage: peer_viewers JANUS-SOCKET FIRST-ADDRESS FIRST-PORT COUNT\n"
		      "Each has the next address and port. Prints \"ready\" when all receive.\n", stderr);
		return 2;
	}
	SSL_CTX *tls = make_tls();
	int janus = janus_connect(argv[1]);
	janus_send(janus, "{\"janus\":\"create\",\"transaction\":\"c\"}");
	uint64_t session = janus_made(janus);
	for (size_t i = 0; i < count; i++) {
		struct viewer *viewer = &viewers[i];
		viewer->own = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)(port + i)),
						    .sin_addr.s_addr = htonl(ntohl(first.s_addr) + (uint32_t)i) };
		viewer->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (viewer->fd < 0 || bind(viewer->fd, (struct sockaddr *)&viewer->own, sizeof(viewer->own)) != 0)
			die("socket of viewer %zu: %s", i, strerror(errno));
		watch(janus, session, viewer);
	}
	serve(viewers, count, tls, false);
	puts("ready");
	fflush(stdout);
	serve(viewers, count, tls, true);
}
