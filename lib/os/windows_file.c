/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * windows_file.c - the files of os.h, by the Windows API.
 *
 * Paths are UTF-8. A descriptor is one of the C runtime that this library is
 * linked with (msvcrt.dll, or ucrt): a host that passes descriptors links with
 * the same. Files are opened so that others may rename and delete them. A file
 * that somebody has open without leave to replace it stays: -EPERM.
 */
#include "base/error.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>

#define CALL_BYTES ((uint64_t)1 << 30)
#define SHARE_ALL (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

static int last_error(void)
{
	switch (GetLastError()) {
	case ERROR_FILE_NOT_FOUND:
	case ERROR_PATH_NOT_FOUND:
	case ERROR_INVALID_NAME:
	case ERROR_BAD_PATHNAME:
	case ERROR_BAD_NETPATH:
		return -ENOENT;
	case ERROR_ACCESS_DENIED:
	case ERROR_SHARING_VIOLATION:
	case ERROR_LOCK_VIOLATION:
	case ERROR_WRITE_PROTECT:
		return -EACCES;
	case ERROR_FILE_EXISTS:
	case ERROR_ALREADY_EXISTS:
		return -EEXIST;
	case ERROR_TOO_MANY_OPEN_FILES:
		return -EMFILE;
	case ERROR_DISK_FULL:
	case ERROR_HANDLE_DISK_FULL:
		return -ENOSPC;
	case ERROR_NOT_ENOUGH_MEMORY:
	case ERROR_OUTOFMEMORY:
	case ERROR_NO_SYSTEM_RESOURCES:
		return -ENOMEM;
	case ERROR_INVALID_HANDLE:
		return -EBADF;
	default:
		return -EIO;
	}
}

int fl__os_file_error(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case EEXIST:
	case ENAMETOOLONG:
	case EBADF:
	case EINVAL:
		return -EINVAL;
	case EACCES:
	case EROFS:
	case EPERM:
		return -EPERM;
	default:
		return fl__error_fold(err);
	}
}

/* free() it. */
static wchar_t *path_wide(const char *path)
{
	int len = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1,
				      NULL, 0);
	wchar_t *wide = len ? malloc((size_t)len * sizeof(*wide)) : NULL;

	if (wide)
		MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, len);
	return wide;
}

static HANDLE file_create(const char *path, DWORD access, DWORD how)
{
	wchar_t *wide = path_wide(path);
	HANDLE handle = INVALID_HANDLE_VALUE;

	if (wide)
		handle = CreateFileW(wide, access, SHARE_ALL, NULL, how,
				     FILE_ATTRIBUTE_NORMAL, NULL);
	else
		SetLastError(ERROR_BAD_PATHNAME);
	free(wide);
	return handle;
}

/* The descriptor owns the handle; on failure the handle is closed. */
static int handle_own(HANDLE handle, int flags)
{
	int fd = _open_osfhandle((intptr_t)handle,
				 flags | _O_BINARY | _O_NOINHERIT);

	if (fd < 0)
		CloseHandle(handle);
	return fd < 0 ? -EMFILE : fd;
}

int fl__os_file_look(int fd, uint64_t *length_bytes)
{
	HANDLE handle = (HANDLE)_get_osfhandle(fd);
	LARGE_INTEGER size;

	if (handle == INVALID_HANDLE_VALUE)
		return -EBADF;
	if (GetFileType(handle) != FILE_TYPE_DISK ||
	    !GetFileSizeEx(handle, &size))
		return -EINVAL;
	*length_bytes = (uint64_t)size.QuadPart;
	return 0;
}

int fl__os_file_lent(int fd, uint64_t *length_bytes)
{
	return fl__os_file_look(fd, length_bytes);
}

bool fl__os_file_is_immutable(int fd)
{
	(void)fd;
	return false;
}

static bool is_folder(const char *path)
{
	wchar_t *wide = path_wide(path);
	DWORD there = wide ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;

	free(wide);
	return there != INVALID_FILE_ATTRIBUTES &&
	       there & FILE_ATTRIBUTE_DIRECTORY;
}

int fl__os_file_open(const char *path, int *out, uint64_t *length_bytes)
{
	HANDLE handle = file_create(path, GENERIC_READ, OPEN_EXISTING);
	int fd, err;

	/* Of a folder the system says that access is denied. */
	if (handle == INVALID_HANDLE_VALUE)
		return is_folder(path) ? -EISDIR : last_error();
	fd = handle_own(handle, _O_RDONLY);
	if (fd < 0)
		return fd;
	err = fl__os_file_look(fd, length_bytes);
	if (err)
		_close(fd);
	else
		*out = fd;
	return err;
}

static OVERLAPPED overlapped_at(uint64_t off)
{
	OVERLAPPED at = { .Offset = (DWORD)off,
			  .OffsetHigh = (DWORD)(off >> 32) };

	return at;
}

int fl__os_file_read(int fd, uint64_t off, void *dst, uint64_t len,
		     uint64_t *done)
{
	HANDLE handle = (HANDLE)_get_osfhandle(fd);

	*done = 0;
	while (*done < len) {
		OVERLAPPED at = overlapped_at(off + *done);
		DWORD n = 0;

		if (!ReadFile(handle, (uint8_t *)dst + *done,
			      (DWORD)fl_min_u64(len - *done, CALL_BYTES), &n,
			      &at))
			return GetLastError() == ERROR_HANDLE_EOF ?
				       0 :
				       last_error();
		if (!n)
			break;
		*done += n;
	}
	return 0;
}

/* A read moves the place of its own handle, so the copy is a handle apart. */
int fl__os_file_dup(int fd, int *copy)
{
	HANDLE handle = (HANDLE)_get_osfhandle(fd), again;

	if (handle == INVALID_HANDLE_VALUE)
		return -EBADF;
	again = ReOpenFile(handle, GENERIC_READ, SHARE_ALL, 0);
	if (again == INVALID_HANDLE_VALUE &&
	    !DuplicateHandle(GetCurrentProcess(), handle, GetCurrentProcess(),
			     &again, 0, FALSE, DUPLICATE_SAME_ACCESS))
		return last_error();
	*copy = handle_own(again, _O_RDONLY);
	return *copy < 0 ? *copy : 0;
}

void fl__os_file_close(int fd)
{
	_close(fd);
}

int fl__os_peek(void *dst, const void *src, uint64_t len)
{
	SIZE_T done = 0;

	if (!len)
		return 0;
	return ReadProcessMemory(GetCurrentProcess(), src, dst, (SIZE_T)len,
				 &done) &&
			       done == len ?
		       0 :
		       -EFAULT;
}

int fl__os_poke(void *dst, const void *src, uint64_t len)
{
	SIZE_T done = 0;

	if (!len)
		return 0;
	return WriteProcessMemory(GetCurrentProcess(), dst, src, (SIZE_T)len,
				  &done) &&
			       done == len ?
		       0 :
		       -EFAULT;
}

bool fl__os_file_may_reach(uint64_t length_bytes)
{
	return length_bytes <= INT64_MAX;
}

/* The temporary file lies in the folder of the file; free() the path. */
static char *temporary_path(const struct fl__os_new_file *file)
{
	const char *slash = strrchr(file->path, '/'),
		   *other = strrchr(file->path, '\\');
	size_t len, size;
	char *path;

	if (!slash || (other && other > slash))
		slash = other;
	len = slash ? (size_t)(slash + 1 - file->path) : 0;
	size = len + sizeof(file->temporary);
	path = malloc(size);
	if (path) {
		memcpy(path, file->path, len);
		memcpy(path + len, file->temporary, sizeof(file->temporary));
	}
	return path;
}

/* The name is only a guess that nobody has taken; CREATE_NEW decides. */
static int temporary_open(struct fl__os_new_file *file)
{
	for (unsigned int i = 0; i < 100; i++) {
		HANDLE handle;
		char *path;
		int err;

		snprintf(file->temporary, sizeof(file->temporary),
			 ".faultline-%llx-%llx.tmp", fl_llu(fl__os_process()),
			 fl_llu(fl__os_now_ns() + i));
		path = temporary_path(file);
		if (!path)
			return -ENOMEM;
		handle = file_create(path, GENERIC_READ | GENERIC_WRITE,
				     CREATE_NEW);
		err = handle == INVALID_HANDLE_VALUE ? last_error() : 0;
		free(path);
		if (!err)
			return handle_own(handle, _O_RDWR);
		if (err != -EEXIST)
			return err;
	}
	return -EEXIST;
}

int fl__os_new_file_open(struct fl__os_new_file *file, const char *path,
			 uint64_t length_bytes)
{
	LARGE_INTEGER size = { .QuadPart = (LONGLONG)length_bytes };
	HANDLE handle;
	int err;

	*file = (struct fl__os_new_file){ .path = path, .folder_fd = -1 };
	if (!fl__os_file_may_reach(length_bytes))
		return -EFBIG;
	err = !*path ? -ENOENT : is_folder(path) ? -EISDIR : 0;
	file->fd = err ? err : temporary_open(file);
	if (file->fd < 0)
		return file->fd;
	handle = (HANDLE)_get_osfhandle(file->fd);
	if (SetFilePointerEx(handle, size, NULL, FILE_BEGIN) &&
	    SetEndOfFile(handle))
		return 0;
	err = last_error();
	fl__os_new_file_abort(file);
	return err;
}

int fl__os_new_file_write(struct fl__os_new_file *file, uint64_t off,
			  const void *bytes, uint64_t len)
{
	HANDLE handle = (HANDLE)_get_osfhandle(file->fd);
	const uint8_t *from = bytes;

	while (len) {
		OVERLAPPED at = overlapped_at(off);
		DWORD n = 0;

		if (!WriteFile(handle, from, (DWORD)fl_min_u64(len, CALL_BYTES),
			       &n, &at))
			return last_error();
		/* Nothing written and no reason given would go on forever. */
		if (!n)
			return -EIO;
		from += n;
		off += n;
		len -= n;
	}
	return 0;
}

static int file_move(const char *from, const char *to)
{
	wchar_t *wide_from = path_wide(from), *wide_to = path_wide(to);
	int err = 0;

	if (!wide_from || !wide_to)
		err = -ENOMEM;
	else if (!MoveFileExW(wide_from, wide_to,
			      MOVEFILE_REPLACE_EXISTING |
				      MOVEFILE_WRITE_THROUGH))
		err = last_error();
	free(wide_from);
	free(wide_to);
	return err;
}

static void file_delete(const char *path)
{
	wchar_t *wide = path_wide(path);

	if (wide)
		DeleteFileW(wide);
	free(wide);
}

int fl__os_new_file_commit(struct fl__os_new_file *file)
{
	char *path = temporary_path(file);
	int err = path ? 0 : -ENOMEM;

	if (!err && !FlushFileBuffers((HANDLE)_get_osfhandle(file->fd)))
		err = last_error();
	if (err) {
		free(path);
		fl__os_new_file_abort(file);
		return err;
	}
	/* An open file cannot be renamed over another. */
	_close(file->fd);
	err = file_move(path, file->path);
	file->is_there = !err;
	if (err)
		file_delete(path);
	free(path);
	return err;
}

void fl__os_new_file_abort(struct fl__os_new_file *file)
{
	char *path = temporary_path(file);

	_close(file->fd);
	if (path)
		file_delete(path);
	free(path);
}
