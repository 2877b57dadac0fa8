// SPDX-License-Identifier: GPL-2.0
/*
 * A file system that does not answer, as a dead server or a hostile FUSE process is: no
 * call may wait for it where SIGKILL does not end that. It is served by a child, until it
 * is told to be silent. No test may leave one mounted.
 */
#include <linux/fuse.h>
#include <sys/mount.h>

#include "test.h"

#define PLACE	"/dev/shm/lwc-stuck"
#define SIZE	(8 * PAGE)

static int device = -1;
static pid_t server;

static void answer(uint64_t unique, int error, const void *body, size_t size)
{
	static char out[SIZE + PAGE];
	struct fuse_out_header *head = (void *)out;

	*head = (struct fuse_out_header){ sizeof(*head) + size, error, unique };
	memcpy(out + sizeof(*head), body, size);
	if (write(device, out, head->len) < 0 && errno != ENOENT)
		perror("# stuck: write");
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node, .size = SIZE, .nlink = 1,
		.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666,
	};
}

static void serve_one(const struct fuse_in_header *in)
{
	const struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = PAGE, .max_readahead = SIZE, .flags = FUSE_ASYNC_READ,
	};
	const struct fuse_entry_out entry = { .nodeid = 2, .attr = attributes(2) };
	const struct fuse_attr_out attr = { .attr = attributes(in->nodeid) };
	const struct fuse_open_out opened = { .open_flags = FOPEN_KEEP_CACHE };
	const struct fuse_read_in *read = (const void *)(in + 1);
	static char page[SIZE];

	switch (in->opcode) {
	case FUSE_INIT:
		return answer(in->unique, 0, &init, sizeof(init));
	case FUSE_LOOKUP:
		return answer(in->unique, 0, &entry, sizeof(entry));
	case FUSE_GETATTR:
		return answer(in->unique, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
		return answer(in->unique, 0, &opened, sizeof(opened));
	case FUSE_READ:
		memset(page, 'f', sizeof(page));
		return answer(in->unique, 0, page, read->size < SIZE ? read->size : SIZE);
	case FUSE_FORGET:
		return;
	default:
		answer(in->unique, -ENOSYS, NULL, 0);
	}
}

static void serve(void)
{
	static char in[FUSE_MIN_READ_BUFFER + PAGE];

	while (read(device, in, sizeof(in)) > 0)
		serve_one((const void *)in);
	_exit(0);
}

/* Return: a descriptor of its one file; -1: there is no such thing here. */
static int mount_stuck(struct __test_metadata *_metadata)
{
	char options[100];
	int fd;

	if (system("modprobe -q fuse"))
		return -1;
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -1;
	mkdir(PLACE, 0755);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", device);
	ASSERT_EQ(0, mount("lwc-stuck", PLACE, "fuse", MS_NODEV | MS_NOSUID, options));
	server = fork();
	if (!server)
		serve();
	fd = open(PLACE "/file", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	/* It says that it does not want to hear of this, so nobody waits at the end. */
	close(dup(fd));
	return fd;
}

/* From here on nobody answers; and the file system stays, as we have the device open. */
static void be_silent(void)
{
	kill(server, SIGKILL);
	/* It need not be our child, so all that can be done is to give it time. */
	usleep(200000);
}

static void unmount_stuck(int fd)
{
	waitpid(server, NULL, 0);
	/* By force: whoever waits is told that it has ended. */
	umount2(PLACE, MNT_FORCE);
	close(fd);
	close(device);
	umount2(PLACE, MNT_DETACH);
	rmdir(PLACE);
}

static char *map_file(struct __test_metadata *_metadata, int fd)
{
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	return p;
}

static void drop_cache(struct __test_metadata *_metadata, int fd)
{
	EXPECT_EQ(0, posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
}

/* Return: its status; -1: it does not end, in seconds in which it could. */
static int status_of(pid_t pid)
{
	int status, i;

	for (i = 0; i < 100; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(100000);
	}
	return -1;
}

/* In a child, so that somebody is left to end the wait. */
static void write_and_roll_back(struct __test_metadata *_metadata, int fd, char *p)
{
	int snap;

	if (!SNAPSHOT(snap)) {
		memset(p, 'w', SIZE);
		drop_cache(_metadata, fd);
		be_silent();
		shm[0] = counter("duplicates");
		ROLLBACK(snap, 0);
	}
	_exit(counter("duplicates") > shm[0] ? 33 : 34);
}

/* What was written is put back, though what was there before cannot be read. */
LWC_TEST(rollback)
{
	pid_t pid;
	int fd;
	char *p;

	NEED_ROOT();
	fd = mount_stuck(_metadata);
	if (fd < 0)
		SKIP(return, "no FUSE");
	p = map_file(_metadata, fd);
	fflush(stderr);
	pid = fork();
	if (!pid)
		write_and_roll_back(_metadata, fd, p);
	EXPECT_EQ(33 << 8, status_of(pid));
	unmount_stuck(fd);
}

/* Who waits for what is to be shared can be killed. */
LWC_TEST(share)
{
	struct lwc_spec spec;
	struct lwc_event ev;
	int fd, status;
	pid_t pid;
	char *p;

	NEED_ROOT();
	fd = mount_stuck(_metadata);
	if (fd < 0)
		SKIP(return, "no FUSE");
	p = map_file(_metadata, fd);
	spec = (struct lwc_spec){
		LWC_MEMORY, LWC_SHARE, 0, (uintptr_t)p, (uintptr_t)p + SIZE,
	};
	/* With a server all is well. */
	ASSERT_EQ(0, lwc_create(&spec, 1, 0, &ev));
	EXPECT_EQ('f', p[PAGE]);
	EXPECT_EQ(0, lwc_close(ev.created));
	p = map_file(_metadata, fd);
	spec.from = (uintptr_t)p;
	spec.to = (uintptr_t)p + SIZE;
	drop_cache(_metadata, fd);
	be_silent();
	fflush(stderr);
	pid = fork();
	if (!pid)
		_exit(lwc_create(&spec, 1, 0, &ev) ? 1 : 2);
	usleep(300000);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG));
	kill(pid, SIGKILL);
	status = status_of(pid);
	EXPECT_TRUE(status != -1 && WIFSIGNALED(status));
	unmount_stuck(fd);
}

TEST_HARNESS_MAIN
