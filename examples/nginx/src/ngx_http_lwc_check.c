/* SPDX-License-Identifier: MIT */
/*
 * What H left in the arena is hostile input: here W checks its copy, all of it,
 * before any of it is used or sent. Every length, index, number and byte that
 * nginx would trust is looked at. This must never change what the request says,
 * nor believe that a record is there because another one was. It only gives the
 * request's pool the files that came, to be closed with it.
 */

#include "ngx_http_lwc.h"


typedef struct {
    ngx_uint_t  heads;
    ngx_uint_t  sent;
    ngx_uint_t  calls;
    ngx_uint_t  last;
    ngx_uint_t  line;                      /* the status that a line names */
    ngx_uint_t  lengths;
    int64_t     length;                    /* of the Content-Length header */
    ngx_uint_t  files;
    ngx_uint_t  roles;                     /* bits */
    uint64_t    content_type;              /* its length */
    uint64_t    body;
} ngx_http_lwc_seen_t;


static const char *ngx_http_lwc_check_record(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply, ngx_http_lwc_seen_t *seen,
    ngx_http_lwc_record_t *rec, u_char *data);
static const char *ngx_http_lwc_check_head(ngx_http_lwc_reply_t *reply,
    ngx_http_lwc_seen_t *seen, ngx_http_lwc_record_t *rec, u_char *data);
static const char *ngx_http_lwc_check_header(ngx_http_lwc_seen_t *seen,
    ngx_http_lwc_record_t *rec, u_char *data);
static const char *ngx_http_lwc_check_framing(ngx_http_lwc_seen_t *seen,
    ngx_http_lwc_record_t *rec, u_char *data);
static const char *ngx_http_lwc_check_length(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply, ngx_http_lwc_seen_t *seen);
static const char *ngx_http_lwc_check_variable(ngx_http_request_t *r,
    ngx_http_lwc_record_t *rec);
static const char *ngx_http_lwc_check_body(ngx_http_request_t *r,
    ngx_http_lwc_seen_t *seen, ngx_http_lwc_record_t *rec, u_char *data);
static const char *ngx_http_lwc_check_uri(ngx_str_t *uri);
static const char *ngx_http_lwc_check_outcome(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply, ngx_http_lwc_seen_t *seen);
static const char *ngx_http_lwc_check_files(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply, ngx_uint_t n);
static const char *ngx_http_lwc_check_file(ngx_http_request_t *r,
    ngx_http_lwc_file_t *want, ngx_file_t *file);
static ngx_uint_t ngx_http_lwc_is_word(u_char *data, size_t len,
    const char *word);
static ngx_uint_t ngx_http_lwc_is_text(u_char *p, uint64_t len);


/* year 9999: nginx writes a year in four digits, into room for four */

#define NGX_HTTP_LWC_TIME_MAX  253402300799LL

/* beyond any line, and far from overflow when it is multiplied by seconds */

#define NGX_HTTP_LWC_RATE_MAX  (1ULL << 40)

/* what a variable's length has bits for */

#define NGX_HTTP_LWC_VALUE_MAX  ((1 << 28) - 1)


const char *
ngx_http_lwc_check(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    u_char                 *pos, *data;
    const char             *why;
    ngx_http_lwc_seen_t     seen;
    ngx_http_lwc_record_t   rec;

    ngx_memzero(&seen, sizeof(ngx_http_lwc_seen_t));
    ngx_memzero(&reply->head, sizeof(ngx_http_lwc_head_t));

    ngx_str_null(&reply->uri);
    ngx_str_null(&reply->args);
    ngx_str_null(&reply->name);

    pos = reply->first;

    while (pos < reply->last) {

        data = ngx_http_lwc_next(reply, &pos, &rec);

        if (data == NULL) {
            return "a record reaches beyond the end";
        }

        why = ngx_http_lwc_check_record(r, reply, &seen, &rec, data);

        if (why) {
            return why;
        }
    }

    why = ngx_http_lwc_check_outcome(r, reply, &seen);

    if (why) {
        return why;
    }

    return ngx_http_lwc_check_files(r, reply, seen.files);
}


/* the bytes of the record at *pos, which moves on; NULL when it has no end */

u_char *
ngx_http_lwc_next(ngx_http_lwc_reply_t *reply, u_char **pos,
    ngx_http_lwc_record_t *rec)
{
    size_t   rest;
    u_char  *p;

    p = *pos;
    rest = reply->last - p;

    if (rest < sizeof(ngx_http_lwc_record_t)) {
        return NULL;
    }

    ngx_memcpy(rec, p, sizeof(ngx_http_lwc_record_t));

    if (rec->len > rest || ngx_http_lwc_room(rec->len) > rest) {
        return NULL;
    }

    *pos = p + ngx_http_lwc_room(rec->len);

    return p + sizeof(ngx_http_lwc_record_t);
}


static const char *
ngx_http_lwc_check_record(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply,
    ngx_http_lwc_seen_t *seen, ngx_http_lwc_record_t *rec, u_char *data)
{
    ngx_str_t  *text;

    switch (rec->type) {

    case NGX_HTTP_LWC_HEAD:
        return ngx_http_lwc_check_head(reply, seen, rec, data);

    case NGX_HTTP_LWC_STATUS_LINE:
        seen->line = (rec->len >= 3) ? ngx_atoi(data, 3) : 0;

        if (seen->line < 100 || seen->line > 999
            || (rec->len > 3 && data[3] != ' '))
        {
            return "a status line without a status";
        }

        return ngx_http_lwc_is_text(data, rec->len)
               ? NULL : "a control character in a header";

    case NGX_HTTP_LWC_CONTENT_TYPE:
        seen->content_type = rec->len;

        /* fall through */

    case NGX_HTTP_LWC_CHARSET:
        return ngx_http_lwc_is_text(data, rec->len)
               ? NULL : "a control character in a header";

    case NGX_HTTP_LWC_HEADER:
    case NGX_HTTP_LWC_TRAILER:
        return ngx_http_lwc_check_header(seen, rec, data);

    case NGX_HTTP_LWC_VARIABLE:
        return ngx_http_lwc_check_variable(r, rec);

    case NGX_HTTP_LWC_CALL:
        seen->calls++;
        return (rec->len == 0) ? NULL : "a call with bytes of its own";

    case NGX_HTTP_LWC_DATA:
    case NGX_HTTP_LWC_FILE:
        return ngx_http_lwc_check_body(r, seen, rec, data);

    case NGX_HTTP_LWC_URI:
        text = &reply->uri;
        break;

    case NGX_HTTP_LWC_ARGS:
        text = &reply->args;
        break;

    case NGX_HTTP_LWC_NAME:
        text = &reply->name;

        if (!ngx_http_lwc_is_text(data, rec->len)) {
            return "a control character in a name";
        }

        break;

    default:
        return "a record of unknown type";
    }

    if (text->data) {
        return "a record that comes once came twice";
    }

    text->data = data;
    text->len = rec->len;

    return NULL;
}


static const char *
ngx_http_lwc_check_head(ngx_http_lwc_reply_t *reply, ngx_http_lwc_seen_t *seen,
    ngx_http_lwc_record_t *rec, u_char *data)
{
    ngx_http_lwc_head_t  *head;

    if (seen->heads++ || rec->len != sizeof(ngx_http_lwc_head_t)) {
        return "not one head";
    }

    head = &reply->head;
    ngx_memcpy(head, data, sizeof(ngx_http_lwc_head_t));

    seen->sent = head->flags & NGX_HTTP_LWC_HEAD_SENT;

    if ((head->status < 100 && (seen->sent || head->status != 0))
        || head->status > 999)
    {
        return "a status that is none";
    }

    if (head->content_length < -1) {
        return "a negative length";
    }

    if (head->last_modified < -1
        || head->last_modified > NGX_HTTP_LWC_TIME_MAX)
    {
        return "a time that is none";
    }

    if (head->limit_rate > NGX_HTTP_LWC_RATE_MAX
        || head->limit_rate_after > NGX_HTTP_LWC_RATE_MAX)
    {
        return "a rate that is none";
    }

    return NULL;
}


static const char *
ngx_http_lwc_check_header(ngx_http_lwc_seen_t *seen, ngx_http_lwc_record_t *rec,
    u_char *data)
{
    uint32_t     i;
    ngx_uint_t   role;
    const char  *why;

    /* key, one byte, value */

    if (rec->arg == 0 || rec->arg >= rec->len) {
        return "a header without a name";
    }

    for (i = 0; i < rec->arg; i++) {
        if (data[i] <= ' ' || data[i] >= 0x7f || data[i] == ':') {
            return "a character that no header's name has";
        }
    }

    if (!ngx_http_lwc_is_text(data + rec->arg + 1, rec->len - rec->arg - 1)) {
        return "a control character in a header";
    }

    why = ngx_http_lwc_check_framing(seen, rec, data);

    if (why) {
        return why;
    }

    role = rec->flags;

    if (role == NGX_HTTP_LWC_ROLE_NONE) {
        return NULL;
    }

    if (role >= NGX_HTTP_LWC_ROLES || rec->type == NGX_HTTP_LWC_TRAILER) {
        return "a header of unknown meaning";
    }

    if (role < NGX_HTTP_LWC_ROLE_CACHE_CONTROL) {

        if (seen->roles & (1 << role)) {
            return "two headers of one meaning";
        }

        seen->roles |= 1 << role;
    }

    return NULL;
}


static ngx_uint_t
ngx_http_lwc_is_word(u_char *data, size_t len, const char *word)
{
    return len == ngx_strlen(word)
           && ngx_strncasecmp(data, (u_char *) word, len) == 0;
}


/*
 * Headers that say where the response ends are nginx's to send. Of these a
 * handler may only repeat the length that it gave nginx as a number, where
 * nginx takes it back if a filter changes the body.
 */

static const char *
ngx_http_lwc_check_framing(ngx_http_lwc_seen_t *seen,
    ngx_http_lwc_record_t *rec, u_char *data)
{
    u_char      *value;
    size_t       len;
    ngx_uint_t   is_length;

    value = data + rec->arg + 1;
    len = rec->len - rec->arg - 1;

    is_length = ngx_http_lwc_is_word(data, rec->arg, "Content-Length");

    if (is_length != (rec->type == NGX_HTTP_LWC_HEADER
                      && rec->flags == NGX_HTTP_LWC_ROLE_CONTENT_LENGTH))
    {
        return "a length that nginx does not know of";
    }

    if (is_length) {
        seen->lengths++;
        seen->length = ngx_atoof(value, len);

        return (seen->length >= 0) ? NULL : "a length that is none";
    }

    if (ngx_http_lwc_is_word(data, rec->arg, "Transfer-Encoding")) {
        return "a transfer encoding";
    }

    /* a proxy drops the headers that are named there */

    if (ngx_http_lwc_is_word(data, rec->arg, "Connection")
        && !ngx_http_lwc_is_word(value, len, "close")
        && !ngx_http_lwc_is_word(value, len, "keep-alive"))
    {
        return "a connection header of unknown meaning";
    }

    return NULL;
}


static const char *
ngx_http_lwc_check_variable(ngx_http_request_t *r, ngx_http_lwc_record_t *rec)
{
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    if (rec->arg >= cmcf->variables.nelts
        || rec->len > NGX_HTTP_LWC_VALUE_MAX)
    {
        return "a variable that is none";
    }

    if ((rec->flags & NGX_HTTP_LWC_VALUE_NOT_FOUND)
        ? rec->len != 0
        : !(rec->flags & NGX_HTTP_LWC_VALUE_VALID))
    {
        return "a variable that is neither found nor not";
    }

    return NULL;
}


static const char *
ngx_http_lwc_check_body(ngx_http_request_t *r, ngx_http_lwc_seen_t *seen,
    ngx_http_lwc_record_t *rec, u_char *data)
{
    ngx_http_lwc_file_t  file;

    if (seen->calls == 0) {
        return "a body outside of any call";
    }

    if (!seen->sent && !r->header_sent) {
        return "a body without a header";
    }

    if (seen->last && r == r->main) {
        return "a body after its end";
    }

    seen->last = rec->flags & NGX_HTTP_LWC_BUF_LAST;

    if (rec->type == NGX_HTTP_LWC_DATA) {

        if (rec->len == 0
            && !(rec->flags & (NGX_HTTP_LWC_BUF_FLUSH|NGX_HTTP_LWC_BUF_LAST
                               |NGX_HTTP_LWC_BUF_SYNC)))
        {
            return "a buffer without purpose";
        }

        seen->body += rec->len;

        return (seen->body <= INT64_MAX) ? NULL : "a body longer than any";
    }

    if (rec->len != sizeof(ngx_http_lwc_file_t)) {
        return "a file that is none";
    }

    ngx_memcpy(&file, data, sizeof(ngx_http_lwc_file_t));

    if (file.first < 0 || file.last <= file.first) {
        return "a part of a file that is none";
    }

    seen->files++;
    seen->body += file.last - file.first;

    return (seen->body <= INT64_MAX) ? NULL : "a body longer than any";
}


static const char *
ngx_http_lwc_check_uri(ngx_str_t *uri)
{
    u_char  *p, *last;

    if (uri->len == 0 || uri->data[0] != '/') {
        return "a URI that does not start with a slash";
    }

    if (ngx_strlchr(uri->data, uri->data + uri->len, '\0')) {
        return "a URI with a zero byte";
    }

    last = uri->data + uri->len;

    for (p = uri->data; p + 3 <= last; p++) {

        if (p[0] == '/' && p[1] == '.' && p[2] == '.'
            && (p + 3 == last || p[3] == '/'))
        {
            return "a URI that goes up";
        }
    }

    return NULL;
}


static const char *
ngx_http_lwc_check_outcome(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply,
    ngx_http_lwc_seen_t *seen)
{
    int32_t               rc;
    const char           *why;
    ngx_http_lwc_head_t  *head;

    head = &reply->head;

    if (seen->heads == 0) {
        return "no head";
    }

    if (head->content_type_len > seen->content_type) {
        return "a content type shorter than it is said to be";
    }

    if (reply->uri.data) {
        why = ngx_http_lwc_check_uri(&reply->uri);
        if (why) {
            return why;
        }
    }

    if (reply->args.data
        && !ngx_http_lwc_is_text(reply->args.data, reply->args.len))
    {
        return "a control character in the arguments";
    }

    rc = reply->result.rc;

    switch (reply->result.outcome) {

    case NGX_HTTP_LWC_FINALIZE:

        if (rc == NGX_OK || rc == NGX_ERROR || (rc >= 100 && rc <= 999)) {
            break;
        }

        if (rc != NGX_DECLINED) {
            return "a result that is none";
        }

        if (seen->sent) {
            return "a header of a handler that declined";
        }

        break;

    case NGX_HTTP_LWC_SPECIAL:

        if (rc < 100 || rc > 999) {
            return "a status that is none";
        }

        if (seen->sent) {
            return "an error page after the header";
        }

        break;

    case NGX_HTTP_LWC_REDIRECT:

        if (reply->uri.data == NULL || seen->sent) {
            return "a redirect without a URI, or after the header";
        }

        break;

    case NGX_HTTP_LWC_NAMED:

        if (reply->name.len == 0 || reply->name.data[0] != '@' || seen->sent) {
            return "a redirect without a name, or after the header";
        }

        break;

    default:
        return "an unknown outcome";
    }

    if (seen->sent && r == r->main) {
        return ngx_http_lwc_check_length(r, reply, seen);
    }

    return NULL;
}


/*
 * A body of another length than the client expects would be taken for a part of
 * the next response on this connection, or keep the client waiting. Whether
 * there is to be one W knows by itself, as nginx's header filter does. What is
 * only sloppy is answered, and the connection is closed after it.
 */

static const char *
ngx_http_lwc_check_length(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply,
    ngx_http_lwc_seen_t *seen)
{
    uint64_t              length;
    ngx_uint_t            bodiless, known;
    ngx_http_lwc_head_t  *head;

    head = &reply->head;
    length = head->content_length;

    if (seen->lengths && seen->length != head->content_length) {
        return "a Content-Length that differs from the length";
    }

    if (head->status < 200 || (seen->line && seen->line < 200)) {
        return "a status that is not the last one";
    }

    bodiless = (head->status == NGX_HTTP_NO_CONTENT
                || head->status == NGX_HTTP_NOT_MODIFIED);

    if (seen->line) {

        if ((seen->line == NGX_HTTP_NO_CONTENT
             || seen->line == NGX_HTTP_NOT_MODIFIED || bodiless)
            && (seen->line != head->status || seen->body))
        {
            return "a status line that promises another body";
        }

        /* nginx looks at the number for the line, and at the line for this */

        bodiless = 0;
    }

    known = r->header_only
            || (r->http_version >= NGX_HTTP_VERSION_10
                && (r->method == NGX_HTTP_HEAD || bodiless));

    if (known) {
        return NULL;
    }

    if ((head->flags & NGX_HTTP_LWC_HEAD_KNOWN_ONLY)
        && !(head->flags & NGX_HTTP_LWC_HEAD_ONLY))
    {
        return "a response without a body, where there is one";
    }

    if (head->flags & NGX_HTTP_LWC_HEAD_ONLY) {

        if (length != 0) {
            head->flags &= ~NGX_HTTP_LWC_HEAD_KEEPALIVE;
        }

        return NULL;
    }

    if (head->content_length >= 0
        && (seen->body > length || (seen->last && seen->body < length)))
    {
        return "a body of another length than its header says";
    }

    if (!seen->last) {
        head->flags &= ~NGX_HTTP_LWC_HEAD_KEEPALIVE;
    }

    return NULL;
}


static const char *
ngx_http_lwc_check_files(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply,
    ngx_uint_t n)
{
    u_char                 *pos, *data;
    const char             *why;
    ngx_file_t             *file;
    ngx_http_lwc_file_t     want;
    ngx_http_lwc_record_t   rec;

    reply->files = NULL;

    if (n == 0) {
        return NULL;
    }

    reply->files = ngx_pcalloc(r->pool, n * sizeof(ngx_file_t));
    if (reply->files == NULL) {
        return "there is no memory for its files";
    }

    file = reply->files;
    pos = reply->first;

    while (pos < reply->last) {

        data = ngx_http_lwc_next(reply, &pos, &rec);

        if (rec.type != NGX_HTTP_LWC_FILE) {
            continue;
        }

        ngx_memcpy(&want, data, sizeof(ngx_http_lwc_file_t));

        why = ngx_http_lwc_check_file(r, &want, file);

        if (why) {
            return why;
        }

        file++;
    }

    return NULL;
}


static const char *
ngx_http_lwc_check_file(ngx_http_request_t *r, ngx_http_lwc_file_t *want,
    ngx_file_t *file)
{
    int                        flags;
    struct stat                st;
    ngx_pool_cleanup_t        *cln;
    ngx_pool_cleanup_file_t   *clnf;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == NULL) {
        return "there is no memory for its files";
    }

    file->fd = ngx_http_lwc_files_take(NGX_HTTP_LWC_W);

    if (file->fd == NGX_INVALID_FILE) {
        return "a file that was not handed over";
    }

    ngx_str_set(&file->name, "file of a handler");
    file->log = r->connection->log;

    clnf = cln->data;
    clnf->fd = file->fd;
    clnf->name = file->name.data;
    clnf->log = r->pool->log;

    cln->handler = ngx_pool_cleanup_file;

    /* reading anything but a regular file could keep W waiting */

    if (fstat(file->fd, &st) == -1
        || !S_ISREG(st.st_mode)
        || (uint64_t) st.st_dev != want->dev
        || (uint64_t) st.st_ino != want->ino)
    {
        return "a file other than it is said to be";
    }

    if (want->last > st.st_size) {
        return "a part of a file beyond its end";
    }

    flags = fcntl(file->fd, F_GETFL);

    if (flags == -1 || (flags & O_ACCMODE) == O_WRONLY) {
        return "a file that cannot be read";
    }

    file->directio = (flags & O_DIRECT) ? 1 : 0;

    return NULL;
}


/* nothing that could end a line, or a string of C */

static ngx_uint_t
ngx_http_lwc_is_text(u_char *p, uint64_t len)
{
    u_char  *last;

    for (last = p + len; p < last; p++) {
        if ((*p < ' ' && *p != '\t') || *p == 0x7f) {
            return 0;
        }
    }

    return 1;
}
