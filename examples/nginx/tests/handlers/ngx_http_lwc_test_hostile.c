/* SPDX-License-Identifier: MIT */
/*
 * A handler that knows how lwc_rollback works, and tells the worker lies: it
 * finds the arena, writes there what no honest handler would, and switches to the
 * worker itself. Each lie must end in a 500 and a line in the log, and must never
 * hurt the worker. These alone of the test handlers look behind the curtain.
 */

#include "ngx_http_lwc_test.h"
#include "ngx_http_lwc_arena.h"

#include <lwc.h>

#include <sys/syscall.h>


typedef struct {
    ngx_str_t               name;
    void                  (*tell)(ngx_http_request_t *r);
} ngx_http_lwc_test_lie_t;


static struct {
    u_char                 *arena;
    size_t                  size;
    u_char                 *pos;
    ngx_http_lwc_result_t  *result;
    ngx_http_lwc_head_t    *head;
} lie;


/* shared, to be written, and as large as the tests' "lwc_arena" makes it */

static ngx_int_t
ngx_http_lwc_test_find_arena(void)
{
    FILE           *maps;
    char            line[512], perms[8];
    unsigned long   from, to;

    maps = fopen("/proc/self/maps", "r");

    if (maps == NULL) {
        return NGX_ERROR;
    }

    while (fgets(line, sizeof(line), maps)) {

        if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) == 3
            && ngx_strcmp(perms, "rw-s") == 0
            && to - from == 4 * 1024 * 1024 + 65536)
        {
            lie.arena = (u_char *) from;
            lie.size = to - from;
        }
    }

    (void) fclose(maps);

    return lie.arena ? NGX_OK : NGX_ERROR;
}


static u_char *
ngx_http_lwc_test_record(ngx_uint_t type, ngx_uint_t flags, uint32_t arg,
    const void *data, size_t len)
{
    u_char                 *p;
    ngx_http_lwc_record_t  *rec;

    rec = (ngx_http_lwc_record_t *) lie.pos;

    rec->type = type;
    rec->flags = flags;
    rec->arg = arg;
    rec->len = len;

    p = lie.pos + sizeof(ngx_http_lwc_record_t);

    if (data) {
        ngx_memcpy(p, data, len);
    }

    lie.pos += ngx_http_lwc_room(len);

    return p;
}


/* what an honest handler would leave: a head, one call, a body, its end */

static void
ngx_http_lwc_test_honest(ngx_http_request_t *r)
{
    ngx_http_lwc_head_t  head;

    ngx_memzero(&head, sizeof(head));
    head.status = 200;
    head.flags = NGX_HTTP_LWC_HEAD_SENT|NGX_HTTP_LWC_HEAD_KEEPALIVE;
    head.content_length = 6;
    head.last_modified = -1;

    lie.head = (ngx_http_lwc_head_t *)
               ngx_http_lwc_test_record(NGX_HTTP_LWC_HEAD, 0, 0, &head,
                                        sizeof(head));

    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0, 5, "X-Lie\0yes", 9);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_CALL, 0, 0, NULL, 0);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_DATA, NGX_HTTP_LWC_BUF_LAST, 0,
                             "truth\n", 6);

    lie.result->outcome = NGX_HTTP_LWC_FINALIZE;
}


static void
ngx_http_lwc_test_lie_none(ngx_http_request_t *r)
{
}


static void
ngx_http_lwc_test_lie_outcome(ngx_http_request_t *r)
{
    lie.result->outcome = ngx_http_lwc_test_arg(r, "n", 99);
}


static void
ngx_http_lwc_test_lie_rc(ngx_http_request_t *r)
{
    lie.result->rc = ngx_http_lwc_test_arg(r, "n", 7);
}


static void
ngx_http_lwc_test_lie_status(ngx_http_request_t *r)
{
    lie.head->status = ngx_http_lwc_test_arg(r, "n", 7);
}


static void
ngx_http_lwc_test_lie_length(ngx_http_request_t *r)
{
    lie.head->content_length = ngx_http_lwc_test_arg(r, "n", -2);
}


static void
ngx_http_lwc_test_lie_time(ngx_http_request_t *r)
{
    lie.head->last_modified = ngx_http_lwc_test_arg(r, "n", 253402300800LL);
}


static void
ngx_http_lwc_test_lie_rate(ngx_http_request_t *r)
{
    lie.head->flags |= NGX_HTTP_LWC_HEAD_RATE;
    lie.head->limit_rate = (uint64_t) -1;
}


static void
ngx_http_lwc_test_lie_type_len(ngx_http_request_t *r)
{
    lie.head->content_type_len = 1 << 30;
}


static void
ngx_http_lwc_test_lie_unknown(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(77, 0, 0, NULL, 0);
}


static void
ngx_http_lwc_test_lie_two_heads(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEAD, 0, 0, lie.head,
                             sizeof(ngx_http_lwc_head_t));
}


static void
ngx_http_lwc_test_lie_short_head(ngx_http_request_t *r)
{
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEAD, 0, 0, NULL, 4);
}


static void
ngx_http_lwc_test_lie_no_head(ngx_http_request_t *r)
{
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t);
}


static void
ngx_http_lwc_test_lie_splitting(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0, 1,
                             "A\0b\r\nSet-Cookie: c=d", 19);
}


static void
ngx_http_lwc_test_lie_name(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0, 4, "A: b\0c", 6);
}


static void
ngx_http_lwc_test_lie_name_len(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0,
                             ngx_http_lwc_test_arg(r, "n", 4000000000U),
                             "A\0b", 3);
}


static void
ngx_http_lwc_test_lie_role(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER,
                             ngx_http_lwc_test_arg(r, "n", 15), 1, "A\0b", 3);
}


static void
ngx_http_lwc_test_lie_role_twice(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 2, 1, "A\0b", 3);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 2, 1, "A\0b", 3);
}


static void
ngx_http_lwc_test_lie_status_line(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_STATUS_LINE, 0, 0, "200 OK\r\nA: b",
                             12);
}


static void
ngx_http_lwc_test_lie_content_type(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_CONTENT_TYPE, 0, 0, "a\nb", 3);
}


static void
ngx_http_lwc_test_lie_variable(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_VARIABLE, NGX_HTTP_LWC_VALUE_VALID,
                             ngx_http_lwc_test_arg(r, "n", 100000), "x", 1);
}


static void
ngx_http_lwc_test_lie_value(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_VARIABLE, 0, 0, "x", 1);
}


static void
ngx_http_lwc_test_lie_record_len(ngx_http_request_t *r)
{
    ngx_http_lwc_record_t  *rec;

    rec = (ngx_http_lwc_record_t *) lie.pos;

    ngx_http_lwc_test_record(NGX_HTTP_LWC_ARGS, 0, 0, "x", 1);

    rec->len = (uint64_t) ngx_http_lwc_test_arg(r, "n", -1);
}


static void
ngx_http_lwc_test_lie_used(ngx_http_request_t *r)
{
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t)
              + ngx_http_lwc_test_arg(r, "n", 8 * 1024 * 1024);
}


static void
ngx_http_lwc_test_lie_no_call(ngx_http_request_t *r)
{
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t)
              + ngx_http_lwc_room(sizeof(ngx_http_lwc_head_t));

    ngx_http_lwc_test_record(NGX_HTTP_LWC_DATA, NGX_HTTP_LWC_BUF_LAST, 0,
                             "truth\n", 6);
}


static void
ngx_http_lwc_test_lie_no_header(ngx_http_request_t *r)
{
    lie.head->flags = 0;
}


static void
ngx_http_lwc_test_lie_more(ngx_http_request_t *r)
{
    ngx_http_lwc_test_record(NGX_HTTP_LWC_CALL, 0, 0, NULL, 0);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_DATA, 0, 0, "more", 4);
}


static void
ngx_http_lwc_test_lie_empty(ngx_http_request_t *r)
{
    lie.pos -= ngx_http_lwc_room(6);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_DATA, 0, 0, NULL, 0);
}


/* there is a body, but also the claim that the client expects none */

static void
ngx_http_lwc_test_lie_known_only(ngx_http_request_t *r)
{
    lie.head->flags |= NGX_HTTP_LWC_HEAD_KNOWN_ONLY;
    lie.head->content_length = 1;
}


/* a length, and nothing of that many bytes */

static void
ngx_http_lwc_test_lie_head_only(ngx_http_request_t *r)
{
    lie.head->flags |= NGX_HTTP_LWC_HEAD_ONLY|NGX_HTTP_LWC_HEAD_KNOWN_ONLY;
}


static void
ngx_http_lwc_test_lie_no_last(ngx_http_request_t *r)
{
    lie.head->content_length = 100;
    lie.pos -= ngx_http_lwc_room(6);
    ngx_http_lwc_test_record(NGX_HTTP_LWC_DATA, NGX_HTTP_LWC_BUF_FLUSH, 0,
                             "truth\n", 6);
}


static void
ngx_http_lwc_test_lie_framing(ngx_http_request_t *r)
{
    switch (ngx_http_lwc_test_arg(r, "n", 0)) {

    case 0: /* another length than the number */
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 3, 14,
                                 "Content-Length\0005", 16);
        break;

    case 1: /* where nginx does not find it */
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0, 14,
                                 "content-length\0006", 16);
        break;

    case 2: /* nginx finds something else, and sends no length */
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 3, 1, "A\0006", 3);
        break;

    case 3: /* no number */
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 3, 14,
                                 "Content-Length\0+6", 17);
        break;

    case 4:
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0, 17,
                                 "Transfer-Encoding\0chunked", 25);
        break;

    case 5:
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 0, 10,
                                 "Connection\0Content-Length", 25);
        break;

    case 6: /* of a body whose length nobody knows */
        lie.head->content_length = -1;
        ngx_http_lwc_test_record(NGX_HTTP_LWC_HEADER, 3, 14,
                                 "Content-Length\0006", 16);
        break;

    default:
        ngx_http_lwc_test_record(NGX_HTTP_LWC_TRAILER, 0, 14,
                                 "Content-Length\0006", 16);
        break;
    }
}


static void
ngx_http_lwc_test_lie_line(ngx_http_request_t *r)
{
    ngx_str_t  line;

    line = ngx_http_lwc_test_arg_text(r, "say");

    ngx_http_lwc_test_record(NGX_HTTP_LWC_STATUS_LINE, 0, 0, line.data,
                             line.len);
}


/* the body's record is taken back, and a part of a file put in its place */

static void
ngx_http_lwc_test_lie_file(ngx_http_request_t *r)
{
    ngx_int_t             n;
    ngx_http_lwc_file_t   file;

    lie.pos -= ngx_http_lwc_room(6);
    lie.head->content_length = -1;

    n = ngx_http_lwc_test_arg(r, "n", 0);

    ngx_memzero(&file, sizeof(file));
    file.first = (n == 1) ? -5 : 0;
    file.last = (n == 2) ? 0 : 100;

    ngx_http_lwc_test_record(NGX_HTTP_LWC_FILE, NGX_HTTP_LWC_BUF_LAST, 0, &file,
                             (n == 3) ? 7 : sizeof(file));
}


/* a descriptor, on whichever socket there is */

static void
ngx_http_lwc_test_send(int fd)
{
    int            sock;
    struct iovec   iov;
    struct msghdr  msg;

    union {
        struct cmsghdr  cm;
        char            space[CMSG_SPACE(sizeof(int))];
    } cmsg;

    iov.iov_base = "x";
    iov.iov_len = 1;

    ngx_memzero(&msg, sizeof(msg));
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = &cmsg;
    msg.msg_controllen = sizeof(cmsg);
    cmsg.cm.cmsg_len = CMSG_LEN(sizeof(int));
    cmsg.cm.cmsg_level = SOL_SOCKET;
    cmsg.cm.cmsg_type = SCM_RIGHTS;
    ngx_memcpy(CMSG_DATA(&cmsg.cm), &fd, sizeof(int));

    for (sock = 3; sock < 64; sock++) {
        if (sendmsg(sock, &msg, MSG_NOSIGNAL) == 1) {
            break;
        }
    }
}


/* one that goes with it, but is not of that file */

static void
ngx_http_lwc_test_lie_other_file(ngx_http_request_t *r)
{
    int                    fd;
    struct stat            st;
    ngx_http_lwc_file_t    file;

    fd = open(ngx_http_lwc_test_arg(r, "n", 0) ? "/dev/zero" : "/etc/passwd",
              O_RDONLY);
    (void) fstat(fd, &st);

    ngx_http_lwc_test_send(fd);

    lie.pos -= ngx_http_lwc_room(6);
    lie.head->content_length = -1;

    ngx_memzero(&file, sizeof(file));
    file.dev = st.st_dev;
    file.ino = st.st_ino;
    file.last = 1LL << 40;

    if (ngx_http_lwc_test_arg(r, "n", 0) == 0) {
        file.ino++;
        file.last = 10;
    }

    ngx_http_lwc_test_record(NGX_HTTP_LWC_FILE, NGX_HTTP_LWC_BUF_LAST, 0, &file,
                             sizeof(file));
}


/* the answer is true, but there are files with it that it does not speak of */

static void
ngx_http_lwc_test_lie_more_files(ngx_http_request_t *r)
{
    ngx_int_t  n;

    for (n = ngx_http_lwc_test_arg(r, "n", 1); n; n--) {
        ngx_http_lwc_test_send(open("/etc/passwd", O_RDONLY));
    }
}


/* parts of a file so large that they and a few bytes add up to the length */

static void
ngx_http_lwc_test_lie_sum(ngx_http_request_t *r)
{
    int                    fd;
    ngx_uint_t             i;
    struct stat            st;
    ngx_http_lwc_file_t    file;

    fd = syscall(SYS_memfd_create, "large", 0);

    if (ftruncate(fd, INT64_MAX) == -1 || fstat(fd, &st) == -1) {
        return;
    }

    lie.pos -= ngx_http_lwc_room(6);

    ngx_memzero(&file, sizeof(file));
    file.dev = st.st_dev;
    file.ino = st.st_ino;
    file.last = INT64_MAX;

    for (i = 0; i < 2; i++) {
        ngx_http_lwc_test_send(fd);
        ngx_http_lwc_test_record(NGX_HTTP_LWC_FILE, 0, 0, &file, sizeof(file));
    }

    ngx_http_lwc_test_record(NGX_HTTP_LWC_DATA, NGX_HTTP_LWC_BUF_LAST, 0,
                             "truth\n..", 8);
}


static void
ngx_http_lwc_test_lie_redirect(ngx_http_request_t *r)
{
    ngx_str_t  uri;

    uri = ngx_http_lwc_test_arg_text(r, "to");

    lie.head->flags = 0;
    lie.head->status = 0;
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t)
              + ngx_http_lwc_room(sizeof(ngx_http_lwc_head_t));

    lie.result->outcome = NGX_HTTP_LWC_REDIRECT;

    if (uri.len) {
        ngx_http_lwc_test_record(NGX_HTTP_LWC_URI, 0, 0, uri.data, uri.len);
    }
}


static void
ngx_http_lwc_test_lie_named(ngx_http_request_t *r)
{
    lie.head->flags = 0;
    lie.head->status = 0;
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t)
              + ngx_http_lwc_room(sizeof(ngx_http_lwc_head_t));

    lie.result->outcome = NGX_HTTP_LWC_NAMED;

    ngx_http_lwc_test_record(NGX_HTTP_LWC_NAME, 0, 0,
                             ngx_http_lwc_test_arg(r, "n", 0) ? "@\n" : "/x",
                             2);
}


/* bytes that mean nothing, or a good answer with some of them changed */

static void
ngx_http_lwc_test_lie_fuzz(ngx_http_request_t *r)
{
    u_char     *p, *first;
    size_t      n;
    ngx_uint_t  i;

    first = lie.arena;
    n = lie.pos - first;

    srandom(ngx_http_lwc_test_arg(r, "n", 1));

    if (random() % 4 == 0) {
        n = 64 + random() % 4096;

        for (p = first + sizeof(ngx_http_lwc_result_t); p < first + n; p++) {
            *p = (u_char) (random() % 16);
        }

        lie.pos = first + n;
        return;
    }

    for (i = 1 + random() % 4; i; i--) {
        first[random() % n] = (u_char) random();
    }
}


static ngx_http_lwc_test_lie_t  ngx_http_lwc_test_lies[] = {
    { ngx_string("none"), ngx_http_lwc_test_lie_none },
    { ngx_string("outcome"), ngx_http_lwc_test_lie_outcome },
    { ngx_string("rc"), ngx_http_lwc_test_lie_rc },
    { ngx_string("status"), ngx_http_lwc_test_lie_status },
    { ngx_string("length"), ngx_http_lwc_test_lie_length },
    { ngx_string("time"), ngx_http_lwc_test_lie_time },
    { ngx_string("rate"), ngx_http_lwc_test_lie_rate },
    { ngx_string("type_len"), ngx_http_lwc_test_lie_type_len },
    { ngx_string("unknown"), ngx_http_lwc_test_lie_unknown },
    { ngx_string("two_heads"), ngx_http_lwc_test_lie_two_heads },
    { ngx_string("short_head"), ngx_http_lwc_test_lie_short_head },
    { ngx_string("no_head"), ngx_http_lwc_test_lie_no_head },
    { ngx_string("splitting"), ngx_http_lwc_test_lie_splitting },
    { ngx_string("name"), ngx_http_lwc_test_lie_name },
    { ngx_string("name_len"), ngx_http_lwc_test_lie_name_len },
    { ngx_string("role"), ngx_http_lwc_test_lie_role },
    { ngx_string("role_twice"), ngx_http_lwc_test_lie_role_twice },
    { ngx_string("status_line"), ngx_http_lwc_test_lie_status_line },
    { ngx_string("content_type"), ngx_http_lwc_test_lie_content_type },
    { ngx_string("variable"), ngx_http_lwc_test_lie_variable },
    { ngx_string("value"), ngx_http_lwc_test_lie_value },
    { ngx_string("record_len"), ngx_http_lwc_test_lie_record_len },
    { ngx_string("used"), ngx_http_lwc_test_lie_used },
    { ngx_string("no_call"), ngx_http_lwc_test_lie_no_call },
    { ngx_string("no_header"), ngx_http_lwc_test_lie_no_header },
    { ngx_string("more"), ngx_http_lwc_test_lie_more },
    { ngx_string("empty"), ngx_http_lwc_test_lie_empty },
    { ngx_string("file"), ngx_http_lwc_test_lie_file },
    { ngx_string("other_file"), ngx_http_lwc_test_lie_other_file },
    { ngx_string("known_only"), ngx_http_lwc_test_lie_known_only },
    { ngx_string("head_only"), ngx_http_lwc_test_lie_head_only },
    { ngx_string("no_last"), ngx_http_lwc_test_lie_no_last },
    { ngx_string("framing"), ngx_http_lwc_test_lie_framing },
    { ngx_string("line"), ngx_http_lwc_test_lie_line },
    { ngx_string("more_files"), ngx_http_lwc_test_lie_more_files },
    { ngx_string("sum"), ngx_http_lwc_test_lie_sum },
    { ngx_string("redirect"), ngx_http_lwc_test_lie_redirect },
    { ngx_string("named"), ngx_http_lwc_test_lie_named },
    { ngx_string("fuzz"), ngx_http_lwc_test_lie_fuzz },
    { ngx_null_string, NULL }
};


static ngx_int_t
ngx_http_lwc_test_hostile(ngx_http_request_t *r)
{
    int                       fd;
    ngx_str_t                 name;
    struct lwc_event          ev;
    ngx_http_lwc_test_lie_t  *t;

    if (ngx_http_lwc_test_find_arena() != NGX_OK) {
        return ngx_http_lwc_test_say(r, "there is no arena\n");
    }

    lie.result = (ngx_http_lwc_result_t *) lie.arena;
    lie.pos = lie.arena + sizeof(ngx_http_lwc_result_t);

    ngx_memzero(lie.result, sizeof(ngx_http_lwc_result_t));
    ngx_http_lwc_test_honest(r);

    name = ngx_http_lwc_test_arg_text(r, "lie");

    for (t = ngx_http_lwc_test_lies; t->name.len; t++) {

        if (t->name.len == name.len
            && ngx_strncmp(t->name.data, name.data, name.len) == 0)
        {
            t->tell(r);
            break;
        }
    }

    lie.result->used = lie.pos - lie.arena - sizeof(ngx_http_lwc_result_t);

    for (fd = 3; fd < 1024; fd++) {
        (void) lwc_switch(fd, 0, 0, &ev);
    }

    return ngx_http_lwc_test_say(r, "there is no way to the worker\n");
}


/* what is there to find of the request before */

static ngx_int_t
ngx_http_lwc_test_peek(ngx_http_request_t *r)
{
    u_char  *p;
    size_t   n;

    if (ngx_http_lwc_test_find_arena() != NGX_OK) {
        return ngx_http_lwc_test_say(r, "there is no arena\n");
    }

    n = 0;

    for (p = lie.arena; p < lie.arena + lie.size; p++) {
        n += (*p != 0);
    }

    return ngx_http_lwc_test_say(r, "%uz bytes\n", n);
}


ngx_http_lwc_test_t  ngx_http_lwc_test_hostiles[] = {
    { ngx_string("hostile"), ngx_http_lwc_test_hostile },
    { ngx_string("peek"), ngx_http_lwc_test_peek },
    { ngx_null_string, NULL }
};
