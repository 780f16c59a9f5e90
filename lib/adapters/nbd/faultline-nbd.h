/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-nbd.h - page sources that read from an NBD server.
 *
 * Image files then lie wherever a server speaks NBD: Ceph, S3, another host.
 * Link with pkg-config faultline-nbd. Needs libnbd 1.14 or newer.
 */
#ifndef FAULTLINE_NBD_H
#define FAULTLINE_NBD_H

#include <faultline.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Connect to the export that an NBD URI names (nbd+unix:///name?socket=path,
 * nbds://host/name, ...), which has the bytes of one image file and no more, and
 * make a page source of it. The source is asynchronous: a thread of its own has
 * the connection, and as many reads are under way as the library starts.
 *
 * A read that the library cancels is answered at once, whatever the server does.
 * When the connection breaks, the reads under way fail; the next read connects
 * again, and fails if the export has another size then. Connecting takes
 * connect_timeout_ns at most. Do not let the server change the export: the pages
 * have hashes, so a guest gets a trap and no wrong byte, but a trap all the same.
 *
 * URIs from strangers reach every host and socket that this process reaches.
 * The source is not for a forked child.
 *
 * Errors: -EINVAL (no URI, or not one that libnbd takes), -ETIMEDOUT, -EIO (the
 * server cannot be reached or refuses), -ENOMEM.
 */
FL_API int fl_nbd_source_open(const char *uri, uint64_t connect_timeout_ns,
			      struct fl_page_source **source,
			      struct fl_error *error);

#ifdef __cplusplus
}
#endif

#endif
