/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pinned.h - another process that has a page of the test pinned, for as long as it is
 * told to. Must never be left running: tell it 'q'.
 */
#ifndef LWC_SELFTEST_PINNED_H
#define LWC_SELFTEST_PINNED_H

#include <linux/userfaultfd.h>
#include <sys/uio.h>

#include "test.h"

/*
 * Writes into @to of process @pid, of whose page it holds a reference until it is
 * told to go on: what is to be written comes from memory of its own that a
 * userfaultfd provides. Talks by bytes: says 'p' (pinned), is told, says 'w'.
 */
struct slow_writer {
	pthread_t thread;
	pid_t pid;
	char *from, *to;
	long written;
};

static inline void *write_slowly(void *data)
{
	struct slow_writer *w = data;
	struct iovec local = { w->from, 8 }, remote = { w->to, 8 };

	w->written = process_vm_writev(w->pid, &local, 1, &remote, 1, 0);
	return NULL;
}

static inline int slow_writer_run(pid_t pid, char *to, int said, int told)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct slow_writer w = { .pid = pid, .to = to, .from = private_memory(PAGE) };
	static char page[PAGE] __attribute__((aligned(4096)));
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)w.from, .len = PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_copy copy = {
		.dst = (uintptr_t)w.from, .src = (uintptr_t)page, .len = PAGE,
	};
	struct uffd_msg message;
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	char c;

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return 77;
	memcpy(page, "written!", 8);
	for (;;) {
		if (madvise(w.from, PAGE, MADV_DONTNEED) || ioctl(fd, UFFDIO_REGISTER, &reg))
			return 1;
		if (read(told, &c, 1) != 1 || c != 'g')
			return c != 'q';
		if (pthread_create(&w.thread, NULL, write_slowly, &w) ||
		    read(fd, &message, sizeof(message)) != sizeof(message) ||
		    write(said, "p", 1) != 1 || read(told, &c, 1) != 1)
			return 2;
		copy.copy = 0;
		if (ioctl(fd, UFFDIO_COPY, &copy) || pthread_join(w.thread, NULL) ||
		    w.written != 8 || ioctl(fd, UFFDIO_UNREGISTER, &reg.range) ||
		    write(said, "w", 1) != 1)
			return 3;
	}
}

/* The process that does so for us. */
struct pinner {
	pid_t pid;
	int tell;
	int hear;
};

/* For a page that @to lies in. Return: is there a userfaultfd to do it by? */
/* Return: false where there is no userfaultfd; see NEED_PINNER(). */
static inline bool pinner_begin(struct __test_metadata *_metadata, struct pinner *pinner, char *to)
{
	int tell[2], hear[2], fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	ASSERT_EQ(0, pipe(tell));
	ASSERT_EQ(0, pipe(hear));
	pinner->pid = fork();
	ASSERT_LE(0, pinner->pid);
	if (!pinner->pid) {
		close(tell[1]);
		_exit(slow_writer_run(getppid(), to, hear[1], tell[0]));
	}
	close(tell[0]);
	close(hear[1]);
	pinner->tell = tell[1];
	pinner->hear = hear[0];
	return true;
}

#define NEED_PINNER(pinner, to)						\
do {									\
	if (!pinner_begin(_metadata, pinner, to))			\
		SKIP(return, "no userfaultfd");				\
} while (0)

/* Return: what it says when it has done the next step. */
static inline char go_on(const struct pinner *pinner)
{
	char c = 0;

	return write(pinner->tell, "g", 1) == 1 && read(pinner->hear, &c, 1) == 1 ? c : 'x';
}

/* To close the pipe would not do: a context or a snapshot may have it as well. */
static inline void pinner_end(struct __test_metadata *_metadata, const struct pinner *pinner)
{
	int status;

	ASSERT_EQ(1, write(pinner->tell, "q", 1));
	ASSERT_EQ(pinner->pid, waitpid(pinner->pid, &status, 0));
	EXPECT_EQ(0, status);
}

#endif /* LWC_SELFTEST_PINNED_H */
