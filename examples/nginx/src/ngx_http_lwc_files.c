/* SPDX-License-Identifier: MIT */
/*
 * Which of W's descriptors H has, by number: what was open when the worker
 * started and is not nginx's own (logs, a handler's databases), and one end of a
 * socket pair, over which W and H hand each other single files.
 *
 * H must never hold a connection's socket: while it does, a close in W sends
 * no FIN and takes nothing out of epoll. So a number is dropped from the list as
 * soon as it may stand for something else.
 */

#include "ngx_http_lwc.h"

#include <lwc.h>


#define NGX_HTTP_LWC_FILES_MAX   256
#define NGX_HTTP_LWC_FILES_LAST  65536

/* more than the socket holds: whoever still sends then will not stop */

#define NGX_HTTP_LWC_FILES_DRAIN  1024


typedef struct {
    ngx_fd_t    fd;
    ngx_uint_t  check;                     /* nobody tells when it is closed */
    dev_t       dev;
    ino_t       ino;
} ngx_http_lwc_fd_t;


static ngx_int_t ngx_http_lwc_files_pair(ngx_log_t *log);
static ngx_uint_t ngx_http_lwc_files_own(ngx_cycle_t *cycle, ngx_fd_t fd,
    struct stat *st);
static ngx_uint_t ngx_http_lwc_files_log(ngx_cycle_t *cycle, ngx_fd_t fd);
static void ngx_http_lwc_files_remember_logs(ngx_cycle_t *cycle);
static void ngx_http_lwc_files_put(ngx_fd_t fd, struct stat *st,
    ngx_uint_t check);
static void ngx_http_lwc_files_drop(ngx_fd_t fd);


static struct {
    ngx_fd_t           pair[2];            /* NGX_HTTP_LWC_W, _H; or zeros */
    ngx_uint_t         distrust;           /* somebody else may have an end */
    dev_t              device;             /* /dev/lwc */

    ngx_http_lwc_fd_t  fds[NGX_HTTP_LWC_FILES_MAX];   /* in order */
    ngx_uint_t         n;

    ngx_fd_t          *logs;               /* as cycle->open_files was */
    ngx_uint_t         nlogs;
} ngx_http_lwc_files;


ngx_int_t
ngx_http_lwc_files_init(ngx_cycle_t *cycle)
{
    ngx_uint_t        n;
    struct stat       st;
    ngx_list_part_t  *part;

    if (ngx_http_lwc_files_pair(cycle->log) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_lwc_files.device = (stat("/dev/lwc", &st) == 0) ? st.st_rdev : 0;

    n = 0;

    for (part = &cycle->open_files.part; part; part = part->next) {
        n += part->nelts;
    }

    ngx_http_lwc_files.logs = ngx_palloc(cycle->pool, n * sizeof(ngx_fd_t));
    if (ngx_http_lwc_files.logs == NULL) {
        return NGX_ERROR;
    }

    ngx_http_lwc_files.nlogs = n;

    return NGX_OK;
}


/* the old one goes only when there is a new one */

static ngx_int_t
ngx_http_lwc_files_pair(ngx_log_t *log)
{
    ngx_fd_t     pair[2];
    ngx_uint_t   side;
    struct stat  st;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK|SOCK_CLOEXEC, 0, pair)
        == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "lwc_rollback: socketpair() failed");
        return NGX_ERROR;
    }

    ngx_http_lwc_files_drop(ngx_http_lwc_files.pair[NGX_HTTP_LWC_H]);

    for (side = 0; side < 2; side++) {

        if (ngx_http_lwc_files.pair[side]) {
            (void) close(ngx_http_lwc_files.pair[side]);
        }

        ngx_http_lwc_files.pair[side] = pair[side];
    }

    if (fstat(pair[NGX_HTTP_LWC_H], &st) == 0) {
        ngx_http_lwc_files_put(pair[NGX_HTTP_LWC_H], &st, 0);
    }

    ngx_http_lwc_files.distrust = 0;

    return NGX_OK;
}


/* W: a new pair before the next request, and a new H with it */

void
ngx_http_lwc_files_distrust(void)
{
    ngx_http_lwc_files.distrust = 1;
}


/* its parent's files are nothing to a child */

void
ngx_http_lwc_files_forked(void)
{
    (void) close(ngx_http_lwc_files.pair[NGX_HTTP_LWC_H]);
}


void
ngx_http_lwc_files_scan(ngx_cycle_t *cycle)
{
    ngx_fd_t       fd, last;
    struct stat    st;
    struct rlimit  rlmt;

    last = NGX_HTTP_LWC_FILES_LAST;

    if (getrlimit(RLIMIT_NOFILE, &rlmt) == 0 && rlmt.rlim_cur < (rlim_t) last) {
        last = rlmt.rlim_cur;
    }

    ngx_http_lwc_files.n = 0;

    for (fd = 0; fd < last; fd++) {

        if (fstat(fd, &st) == -1 || ngx_http_lwc_files_own(cycle, fd, &st)) {
            continue;
        }

        if (ngx_http_lwc_files.n == NGX_HTTP_LWC_FILES_MAX) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                          "lwc_rollback: handlers get the first %i open "
                          "descriptors only",
                          (ngx_int_t) NGX_HTTP_LWC_FILES_MAX);
            break;
        }

        ngx_http_lwc_files_put(fd, &st,
                               fd > STDERR_FILENO
                               && fd != ngx_http_lwc_files.pair[NGX_HTTP_LWC_H]
                               && !ngx_http_lwc_files_log(cycle, fd));
    }

    ngx_http_lwc_files_remember_logs(cycle);
}


/* what nginx works with, W's own, and whatever may hold power over W */

static ngx_uint_t
ngx_http_lwc_files_own(ngx_cycle_t *cycle, ngx_fd_t fd, struct stat *st)
{
    ngx_int_t         k;
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    if (fd <= STDERR_FILENO) {
        return 0;
    }

    if (fd == ngx_http_lwc_files.pair[NGX_HTTP_LWC_W]) {
        return 1;
    }

    /* epoll, eventfd, contexts and all else that is anonymous */

    if ((st->st_mode & S_IFMT) == 0) {
        return 1;
    }

    if (S_ISCHR(st->st_mode) && st->st_rdev == ngx_http_lwc_files.device) {
        return 1;
    }

    if (!S_ISSOCK(st->st_mode)) {
        return 0;
    }

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (ls[i].fd == fd) {
            return 1;
        }
    }

    for (k = 0; k < ngx_last_process; k++) {
        if (ngx_processes[k].channel[0] == fd
            || ngx_processes[k].channel[1] == fd)
        {
            return 1;
        }
    }

    for (i = 0; i < cycle->connection_n; i++) {
        if (cycle->connections[i].fd == fd) {
            return 1;
        }
    }

    return fd == ngx_channel;
}


static ngx_uint_t
ngx_http_lwc_files_log(ngx_cycle_t *cycle, ngx_fd_t fd)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_open_file_t  *file;

    for (part = &cycle->open_files.part; part; part = part->next) {
        file = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (file[i].fd == fd) {
                return 1;
            }
        }
    }

    return 0;
}


static void
ngx_http_lwc_files_remember_logs(ngx_cycle_t *cycle)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_open_file_t  *file;

    n = 0;

    for (part = &cycle->open_files.part; part; part = part->next) {
        file = part->elts;

        for (i = 0; i < part->nelts && n < ngx_http_lwc_files.nlogs; i++) {
            ngx_http_lwc_files.logs[n++] = file[i].fd;
        }
    }
}


/*
 * Before each request: logs get new numbers when they are reopened, and W may
 * have closed what a handler's module had opened.
 */

ngx_uint_t
ngx_http_lwc_files_changed(ngx_cycle_t *cycle)
{
    ngx_uint_t          i, n, changed;
    struct stat         st;
    ngx_list_part_t    *part;
    ngx_open_file_t    *file;
    ngx_http_lwc_fd_t  *f;

    changed = 0;
    i = 0;

    if (ngx_http_lwc_files.distrust
        && ngx_http_lwc_files_pair(cycle->log) == NGX_OK)
    {
        changed = 1;
    }

    while (i < ngx_http_lwc_files.n) {
        f = &ngx_http_lwc_files.fds[i];

        if (f->check
            && (fstat(f->fd, &st) == -1
                || st.st_dev != f->dev
                || st.st_ino != f->ino))
        {
            ngx_http_lwc_files_drop(f->fd);
            changed = 1;
            continue;
        }

        i++;
    }

    n = 0;

    for (part = &cycle->open_files.part; part; part = part->next) {
        file = part->elts;

        for (i = 0; i < part->nelts && n < ngx_http_lwc_files.nlogs; i++, n++) {

            if (file[i].fd == ngx_http_lwc_files.logs[n]) {
                continue;
            }

            ngx_http_lwc_files_drop(ngx_http_lwc_files.logs[n]);
            changed = 1;
        }
    }

    if (!changed) {
        return 0;
    }

    /* a number that one log gave up may be another's now */

    for (part = &cycle->open_files.part; part; part = part->next) {
        file = part->elts;

        for (i = 0; i < part->nelts; i++) {
            ngx_http_lwc_files_drop(file[i].fd);

            if (fstat(file[i].fd, &st) == 0) {
                ngx_http_lwc_files_put(file[i].fd, &st, 0);
            }
        }
    }

    ngx_http_lwc_files_remember_logs(cycle);

    return 1;
}


static void
ngx_http_lwc_files_put(ngx_fd_t fd, struct stat *st, ngx_uint_t check)
{
    ngx_uint_t          i;
    ngx_http_lwc_fd_t  *f;

    f = ngx_http_lwc_files.fds;

    /* drop() leaves standard error there for the log that has its number */

    for (i = 0; i < ngx_http_lwc_files.n; i++) {
        if (f[i].fd == fd) {
            return;
        }
    }

    if (ngx_http_lwc_files.n == NGX_HTTP_LWC_FILES_MAX) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "lwc_rollback: handlers do not get descriptor %d: there "
                      "are too many", fd);
        return;
    }

    for (i = ngx_http_lwc_files.n; i > 0 && f[i - 1].fd > fd; i--) {
        f[i] = f[i - 1];
    }

    f[i].fd = fd;
    f[i].check = check;
    f[i].dev = st->st_dev;
    f[i].ino = st->st_ino;

    ngx_http_lwc_files.n++;
}


static void
ngx_http_lwc_files_drop(ngx_fd_t fd)
{
    ngx_uint_t          i;
    ngx_http_lwc_fd_t  *f;

    f = ngx_http_lwc_files.fds;

    for (i = 0; i < ngx_http_lwc_files.n; i++) {

        /* standard error stays, also where a log has its number */

        if (f[i].fd == fd && fd > STDERR_FILENO) {
            ngx_http_lwc_files.n--;
            ngx_memmove(&f[i], &f[i + 1],
                        (ngx_http_lwc_files.n - i) * sizeof(ngx_http_lwc_fd_t));
            return;
        }
    }
}


ngx_array_t *
ngx_http_lwc_files_specs(ngx_pool_t *pool)
{
    ngx_uint_t          i;
    ngx_array_t        *specs;
    struct lwc_spec    *s;
    ngx_http_lwc_fd_t  *f;

    specs = ngx_array_create(pool, 8, sizeof(struct lwc_spec));
    if (specs == NULL) {
        return NULL;
    }

    s = ngx_array_push(specs);
    if (s == NULL) {
        return NULL;
    }

    ngx_memzero(s, sizeof(struct lwc_spec));
    s->type = LWC_FILES;
    s->mode = LWC_UNMAP;
    s->to = UINT64_MAX;

    f = ngx_http_lwc_files.fds;

    for (i = 0; i < ngx_http_lwc_files.n; i++) {

        if (specs->nelts > 1 && s->to == (uint64_t) f[i].fd) {
            s->to++;
            continue;
        }

        s = ngx_array_push(specs);
        if (s == NULL) {
            return NULL;
        }

        ngx_memzero(s, sizeof(struct lwc_spec));
        s->type = LWC_FILES;
        s->mode = LWC_COW;
        s->from = f[i].fd;
        s->to = f[i].fd + 1;
    }

    return specs;
}


/*
 * H, at the end: what the handler opened goes now, and not when the next
 * request comes, as it may hold a lock or a connection.
 */

void
ngx_http_lwc_files_close(int keep)
{
    ngx_fd_t            next;
    ngx_uint_t          i;
    ngx_http_lwc_fd_t  *f;

    next = 0;
    f = ngx_http_lwc_files.fds;

    for (i = 0; i < ngx_http_lwc_files.n; i++) {

        if (keep >= next && keep < f[i].fd) {

            if (keep > next) {
                (void) close_range(next, keep - 1, 0);
            }

            next = keep + 1;
        }

        if (f[i].fd > next) {
            (void) close_range(next, f[i].fd - 1, 0);
        }

        next = f[i].fd + 1;
    }

    if (keep > next) {
        (void) close_range(next, keep - 1, 0);
    }

    (void) close_range(ngx_max(next, keep + 1), ~0U, 0);
}


ngx_int_t
ngx_http_lwc_files_give(ngx_uint_t side, ngx_fd_t fd)
{
    u_char          byte;
    struct iovec    iov;
    struct msghdr   msg;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } cmsg;

    byte = 0;
    iov.iov_base = &byte;
    iov.iov_len = 1;

    ngx_memzero(&cmsg, sizeof(cmsg));
    ngx_memzero(&msg, sizeof(struct msghdr));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &cmsg;
    msg.msg_controllen = sizeof(cmsg);

    cmsg.cm.cmsg_len = CMSG_LEN(sizeof(int));
    cmsg.cm.cmsg_level = SOL_SOCKET;
    cmsg.cm.cmsg_type = SCM_RIGHTS;
    ngx_memcpy(CMSG_DATA(&cmsg.cm), &fd, sizeof(int));

    if (sendmsg(ngx_http_lwc_files.pair[side], &msg, MSG_NOSIGNAL) != 1) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_fd_t
ngx_http_lwc_files_take(ngx_uint_t side)
{
    int              fd;
    ssize_t          n;
    u_char           byte;
    struct iovec     iov;
    struct msghdr    msg;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } cmsg;

    iov.iov_base = &byte;
    iov.iov_len = 1;

    ngx_memzero(&msg, sizeof(struct msghdr));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &cmsg;
    msg.msg_controllen = sizeof(cmsg);

    n = recvmsg(ngx_http_lwc_files.pair[side], &msg,
                MSG_DONTWAIT|MSG_CMSG_CLOEXEC);

    if (n == -1) {
        return NGX_INVALID_FILE;
    }

    /* no end of file: W has both ends, but a message may be empty */

    if (msg.msg_controllen < CMSG_LEN(sizeof(int))
        || cmsg.cm.cmsg_level != SOL_SOCKET
        || cmsg.cm.cmsg_type != SCM_RIGHTS
        || cmsg.cm.cmsg_len != CMSG_LEN(sizeof(int)))
    {
        ngx_set_errno(NGX_ENOENT);
        return NGX_INVALID_FILE;
    }

    ngx_memcpy(&fd, CMSG_DATA(&cmsg.cm), sizeof(int));

    return fd;
}


/* W holds both ends: nothing of one request may be found by the next */

void
ngx_http_lwc_files_drain(ngx_uint_t side)
{
    ngx_fd_t    fd;
    ngx_uint_t  n;

    for (n = 0; n < NGX_HTTP_LWC_FILES_DRAIN; n++) {
        fd = ngx_http_lwc_files_take(side);

        if (fd != NGX_INVALID_FILE) {
            (void) close(fd);
            continue;
        }

        if (ngx_errno != NGX_ENOENT && ngx_errno != NGX_EINTR) {
            return;
        }
    }

    ngx_http_lwc_files_distrust();
}
