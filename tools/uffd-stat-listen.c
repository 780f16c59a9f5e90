/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-listen.c - /metrics for Prometheus.
 *
 * Each request makes a look of its own, one at a time, so that a scraper gets
 * what is, and nobody who does not ask costs anything. Only addresses of this
 * host are taken: the numbers tell of other users' load, and there is no
 * password here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat-more.h"

#ifdef FL_WITH_MICROHTTPD
#include <arpa/inet.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static enum MHD_Result answer_text(struct MHD_Connection *connection,
				   unsigned int status, const char *type,
				   char *text, size_t len)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		len, text, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", type);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result metrics_answer(struct MHD_Connection *connection,
				      struct stat_finder *finder)
{
	const char *accept = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, "Accept");
	struct stat_style style = {
		.is_openmetrics =
			accept &&
			strstr(accept, "application/openmetrics-text"),
	};
	struct stat_moment *now = stat_look(finder);
	char *text = NULL;
	size_t len = 0;
	FILE *out = now ? open_memstream(&text, &len) : NULL;

	if (out) {
		stat_print_metrics(out, now, &style);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	stat_moment_free(now);
	if (!text)
		return MHD_NO;
	return answer_text(
		connection, MHD_HTTP_OK,
		style.is_openmetrics ?
			"application/openmetrics-text; version=1.0.0; charset=utf-8" :
			"text/plain; version=0.0.4; charset=utf-8",
		text, len);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection,
				  const char *url, const char *method,
				  const char *version, const char *data,
				  size_t *data_len, void **state)
{
	static const char nothing[] = "only GET /metrics is here\n";

	(void)version;
	(void)data;
	(void)data_len;
	(void)state;
	if (!strcmp(method, "GET") && !strcmp(url, "/metrics"))
		return metrics_answer(connection, user);
	return answer_text(connection, MHD_HTTP_NOT_FOUND, "text/plain",
			   strdup(nothing), sizeof(nothing) - 1);
}

static int socket_open(const char *where)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in inet = { .sin_family = AF_INET };
	const char *colon = strrchr(where, ':');
	bool is_path = where[0] == '/';
	int fd, on = 1, err;
	char host[32], *end;
	long port = 0;

	if (is_path && strlen(where) < sizeof(local.sun_path)) {
		strcpy(local.sun_path, where);
	} else if (!is_path && colon &&
		   (size_t)(colon - where) < sizeof(host)) {
		memcpy(host, where, (size_t)(colon - where));
		host[colon - where] = '\0';
		port = strtol(colon + 1, &end, 10);
		if (*end || port < 1 || port > 65535 ||
		    inet_pton(AF_INET, host, &inet.sin_addr) != 1 ||
		    ntohl(inet.sin_addr.s_addr) >> 24 != 127)
			port = -1;
	} else {
		port = -1;
	}
	if (port < 0) {
		fputs("uffd-stat: --listen takes 127.0.0.1:PORT or the path of a socket\n",
		      stderr);
		return -1;
	}
	inet.sin_port = htons((uint16_t)port);
	fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		perror("uffd-stat: --listen");
		return -1;
	}
	if (is_path) {
		err = bind(fd, (struct sockaddr *)&local, sizeof(local));
	} else {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		err = bind(fd, (struct sockaddr *)&inet, sizeof(inet));
	}
	if (err || listen(fd, 16)) {
		perror("uffd-stat: --listen");
		close(fd);
		return -1;
	}
	return fd;
}

int stat_listen(const char *where, struct stat_finder *finder)
{
	struct MHD_Daemon *daemon;
	sigset_t ends;
	int fd, signo;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	fd = socket_open(where);
	if (fd < 0)
		return 1;
	/* One thread: looks come one after another. */
	daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL,
				  NULL, on_request, finder,
				  MHD_OPTION_LISTEN_SOCKET, fd,
				  MHD_OPTION_CONNECTION_LIMIT, 32u,
				  MHD_OPTION_CONNECTION_TIMEOUT, 10u,
				  MHD_OPTION_END);
	if (!daemon) {
		fputs("uffd-stat: cannot serve\n", stderr);
		close(fd);
		return 1;
	}
	fprintf(stderr, "uffd-stat: serving /metrics at %s\n", where);
	sigwait(&ends, &signo);
	MHD_stop_daemon(daemon);
	if (where[0] == '/')
		(void)unlink(where);
	return 0;
}
#else
int stat_listen(const char *where, struct stat_finder *finder)
{
	(void)where;
	(void)finder;
	fputs("uffd-stat: built without --listen: install libmicrohttpd-dev and build again\n",
	      stderr);
	return 1;
}
#endif
