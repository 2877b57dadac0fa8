/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the guest's init know of each other. The order in which they
 * are used is in init.c. Nothing here must ever be of use outside this program.
 */
#ifndef LWC_QEMU_GUEST_H
#define LWC_QEMU_GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../link.h"

#define MAX_WORDS	4096

/* What the host wants: the words of LINK_RUN. */
struct job {
	char *argv[MAX_WORDS];
	char *envp[MAX_WORDS];
	char *cwd;
	char *terminal;
	char *module;
	char *params;
	char *modules_dir;
	char *writable[8];
	int nargs, nenv, nwritable;
	bool layer;
	bool kmemleak;
};

/* link.c: talking to the host, and saying what is wrong */
extern int link_fd;
void link_open(void);
void link_read_job(struct job *job);
void send_frame(uint32_t type, const void *data, uint32_t len);
void problem(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void give_up(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void done(int status) __attribute__((noreturn));

/* file.c: small helpers */
void msleep(long ms);
bool exists(const char *path);
ssize_t read_text(const char *path, char *buf, size_t size);
int write_text(const char *path, const char *text);
void make_dirs(const char *path);
void must_mount(const char *what, const char *where, const char *type, unsigned long flags,
		const char *data);
void may_mount(const char *type, const char *where, const char *data);

/* root.c: the guest's files and settings */
void load_drivers(void);
void mount_root(const struct job *job);
void mount_the_rest(void);
void set_up_system(void);

/* command.c: the command, its input and output; returns its status */
int run_command(struct job *job);
void end_all_processes(void);

/* module.c: the module comes and goes */
void load_module(const struct job *job);
void unload_module(void);
void check_taint(void);

/* leaks.c: memory that nothing refers to */
bool leaks_can_be_found(void);
void leaks_start(void);
void leaks_before_unload(void);
void leaks_after_unload(void);

#endif
