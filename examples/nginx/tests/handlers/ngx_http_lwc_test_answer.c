/* SPDX-License-Identifier: MIT */
/*
 * Handlers that answer well, each in another way that nginx allows: what they
 * send must be the same, byte for byte, with lwc_rollback and without.
 */

#include "ngx_http_lwc_test.h"

#include <openssl/rand.h>


/* what a buggy module would keep: .bss, heap and .data */

static ngx_uint_t   ngx_http_lwc_test_seen;
static u_char       ngx_http_lwc_test_last[64];
static u_char      *ngx_http_lwc_test_heap;


static ngx_table_elt_t *
ngx_http_lwc_test_header(ngx_http_request_t *r, const char *key,
    const char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
    h->key.data = (u_char *) key;
    h->key.len = ngx_strlen(key);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);
    h->lowcase_key = NULL;

    return h;
}


static ngx_int_t
ngx_http_lwc_test_hello(ngx_http_request_t *r)
{
    return ngx_http_lwc_test_say(r, "hello\n");
}


/* counts and remembers what it must not */

static ngx_int_t
ngx_http_lwc_test_leaky(ngx_http_request_t *r)
{
    u_char     last[64], *heap;
    ngx_str_t  secret;

    ngx_memcpy(last, ngx_http_lwc_test_last, sizeof(last));
    heap = ngx_http_lwc_test_heap;

    secret = ngx_http_lwc_test_arg_text(r, "secret");
    (void) ngx_cpystrn(ngx_http_lwc_test_last, secret.data,
                       ngx_min(secret.len + 1, sizeof(last)));

    ngx_http_lwc_test_heap = ngx_alloc(64, r->connection->log);
    if (ngx_http_lwc_test_heap == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_cpystrn(ngx_http_lwc_test_heap, secret.data,
                       ngx_min(secret.len + 1, 64));

    return ngx_http_lwc_test_say(r, "visit %ui\nbefore you: %s\nheap: %s\n",
                                 ++ngx_http_lwc_test_seen, last,
                                 heap ? (char *) heap : "");
}


/* a large body; parts and one: in how many buffers and calls */

static ngx_int_t
ngx_http_lwc_test_big(ngx_http_request_t *r)
{
    size_t        n, size, part;
    u_char       *p;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_uint_t    i, parts;
    ngx_chain_t   out;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    size = ngx_http_lwc_test_arg(r, "size", 65536);
    parts = ngx_http_lwc_test_arg(r, "parts", 1);

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "text/plain");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    if (ngx_http_lwc_test_arg(r, "chunked", 0) == 0) {
        r->headers_out.content_length_n = size;
    }

    if (ngx_http_lwc_test_arg(r, "ranges", 0)) {
        r->allow_ranges = 1;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    n = 0;

    for (i = 0; i < parts; i++) {
        part = (i == parts - 1) ? size - n : size / parts;

        b = ngx_create_temp_buf(r->pool, part);
        if (b == NULL) {
            return NGX_ERROR;
        }

        for (p = b->pos; p < b->end; p++, n++) {
            *p = "0123456789 abcdef\n"[(n * 7 + n / 1000) % 18];
        }

        b->last = b->end;
        b->flush = (ngx_http_lwc_test_arg(r, "flush", 0) != 0);
        b->last_buf = (i == parts - 1 && r == r->main);
        b->last_in_chain = (i == parts - 1);

        out.buf = b;
        out.next = NULL;

        rc = ngx_http_output_filter(r, &out);

        if (rc == NGX_ERROR) {
            return rc;
        }
    }

    return rc;
}


/* of unknown length, with a flush between, and the end by itself */

static ngx_int_t
ngx_http_lwc_test_chunked(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_uint_t    i;
    ngx_chain_t   out[3];

    static ngx_str_t  text[] = {
        ngx_string("one, "), ngx_string("two, "), ngx_string("three\n")
    };

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "text/html");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    for (i = 0; i < 3; i++) {
        b = ngx_calloc_buf(r->pool);
        if (b == NULL) {
            return NGX_ERROR;
        }

        b->memory = 1;
        b->pos = text[i].data;
        b->last = text[i].data + text[i].len;

        out[i].buf = b;
        out[i].next = (i < 2) ? &out[i + 1] : NULL;
    }

    /* two in one call, then one */

    out[1].next = NULL;

    if (ngx_http_output_filter(r, &out[0]) == NGX_ERROR
        || ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR
        || ngx_http_output_filter(r, &out[2]) == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    return ngx_http_send_special(r, NGX_HTTP_LAST);
}


/* what conditional requests and ranges ask about, on top of memory */

static ngx_int_t
ngx_http_lwc_test_dated(ngx_http_request_t *r)
{
    r->headers_out.last_modified_time = 1000000000;
    r->allow_ranges = 1;

    r->headers_out.etag = ngx_http_lwc_test_header(r, "ETag", "\"lwc-1\"");

    return ngx_http_lwc_test_say(r, "0123456789abcdefghijklmnopqrstuvwxyz\n");
}


static ngx_int_t
ngx_http_lwc_test_headers(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h, **ph;

    h = ngx_http_lwc_test_header(r, "Cache-Control", "no-store");

    if (ngx_array_init(&r->headers_out.cache_control, r->pool, 1,
                       sizeof(ngx_table_elt_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ph = ngx_array_push(&r->headers_out.cache_control);
    *ph = h;

    ngx_http_lwc_test_header(r, "Set-Cookie", "a=1; Path=/");
    ngx_http_lwc_test_header(r, "Set-Cookie", "b=\"2\"");
    ngx_http_lwc_test_header(r, "X-Empty", "");
    ngx_http_lwc_test_header(r, "X-Latin", "caf\xe9\ttab");

    r->headers_out.expires = ngx_http_lwc_test_header(r, "Expires",
                                             "Thu, 01 Jan 1970 00:00:01 GMT");
    r->headers_out.server = ngx_http_lwc_test_header(r, "Server", "testing/1");

    h = ngx_http_lwc_test_header(r, "X-Deleted", "not to be seen");
    h->hash = 0;

    ngx_str_set(&r->headers_out.charset, "utf-8");
    ngx_str_set(&r->headers_out.content_type, "text/x-test");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    return ngx_http_lwc_test_say(r, "headers\n");
}


static ngx_int_t
ngx_http_lwc_test_status_line(ngx_http_request_t *r)
{
    ngx_str_set(&r->headers_out.status_line, "299 Just So");
    return ngx_http_lwc_test_say(r, "status line\n");
}


static ngx_int_t
ngx_http_lwc_test_trailers(ngx_http_request_t *r)
{
    ngx_int_t         rc;
    ngx_buf_t        *b;
    ngx_chain_t       out;
    ngx_table_elt_t  *h;

    r->expect_trailers = 1;
    r->headers_out.status = NGX_HTTP_OK;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    h = ngx_list_push(&r->headers_out.trailers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "X-Sum");
    ngx_str_set(&h->value, "42");

    b = ngx_create_temp_buf(r->pool, 8);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, "body\n", 5);
    b->last_buf = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* a status and no body: nginx's or an error page's comes */

static ngx_int_t
ngx_http_lwc_test_status(ngx_http_request_t *r)
{
    ngx_int_t  rc, code;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    code = ngx_http_lwc_test_arg(r, "code", 404);

    if (code == NGX_HTTP_UNAUTHORIZED) {
        r->headers_out.www_authenticate =
            ngx_http_lwc_test_header(r, "WWW-Authenticate",
                                     "Basic realm=\"test\"");
    }

    if (code == NGX_HTTP_MOVED_PERMANENTLY
        || code == NGX_HTTP_MOVED_TEMPORARILY)
    {
        r->headers_out.location =
            ngx_http_lwc_test_header(r, "Location", "/hello");
    }

    ngx_http_lwc_test_header(r, "X-Handler", "was here");

    return code;
}


/* the same, by handlers that finalize themselves */

static ngx_int_t
ngx_http_lwc_test_finalize(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    r->main->count++;

    if (ngx_http_lwc_test_arg(r, "say", 0)) {
        rc = ngx_http_lwc_test_say(r, "finalized inside\n");

    } else {
        rc = ngx_http_lwc_test_status(r);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_lwc_test_declined(ngx_http_request_t *r)
{
    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_lwc_test_redirect(ngx_http_request_t *r)
{
    ngx_str_t  uri, args;

    uri = ngx_http_lwc_test_arg_text(r, "to");
    ngx_str_set(&args, "from=redirect");

    if (uri.len && uri.data[0] == '@') {
        return ngx_http_named_location(r, &uri);
    }

    return ngx_http_internal_redirect(r, &uri, &args);
}


/* a file, or part of one, that was opened here */

static ngx_int_t
ngx_http_lwc_test_file(ngx_http_request_t *r)
{
    off_t                      size;
    size_t                     root;
    ngx_int_t                  rc;
    ngx_str_t                  path;
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_open_file_info_t       of;
    ngx_http_core_loc_conf_t  *clcf;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    r->uri = ngx_http_lwc_test_arg_text(r, "name");

    if (ngx_http_map_uri_to_path(r, &path, &root, 0) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    ngx_memzero(&of, sizeof(ngx_open_file_info_t));
    of.read_ahead = clcf->read_ahead;
    of.directio = clcf->directio;

    path.len--;

    if (ngx_open_cached_file(clcf->open_file_cache, &path, &of, r->pool)
        != NGX_OK)
    {
        return NGX_HTTP_NOT_FOUND;
    }

    size = ngx_http_lwc_test_arg(r, "bytes", of.size);

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    if (b->file == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->file_pos = 0;
    b->file_last = size;
    b->in_file = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    b->file->fd = of.fd;
    b->file->name = path;
    b->file->log = r->connection->log;
    b->file->directio = of.is_directio;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = size;
    r->headers_out.last_modified_time = of.mtime;
    r->allow_ranges = 1;

    if (ngx_http_set_etag(r) != NGX_OK
        || ngx_http_set_content_type(r) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* a file that has no name by the time that it is sent */

static ngx_int_t
ngx_http_lwc_test_nameless(ngx_http_request_t *r)
{
    off_t         size;
    u_char        block[4096];
    ngx_fd_t      fd;
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    ngx_pool_cleanup_t       *cln;
    ngx_pool_cleanup_file_t  *clnf;

    fd = memfd_create("lwc_test", MFD_CLOEXEC);
    if (fd == -1) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    clnf = cln->data;
    clnf->fd = fd;
    clnf->name = (u_char *) "memfd";
    clnf->log = r->pool->log;
    cln->handler = ngx_pool_cleanup_file;

    for (size = 0; size < 100 * 4096; size += 4096) {
        ngx_memset(block, 'a' + (size / 4096) % 26, sizeof(block));

        if (write(fd, block, sizeof(block)) != (ssize_t) sizeof(block)) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->file = ngx_pcalloc(r->pool, sizeof(ngx_file_t));
    if (b->file == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->file->fd = fd;
    b->file->log = r->connection->log;
    b->in_file = 1;
    b->file_last = size;
    b->last_buf = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = size;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* what it got as a body, in memory or in a file */

static void
ngx_http_lwc_test_post_done(ngx_http_request_t *r)
{
    off_t         len, n;
    u_char        block[4096], *p;
    uint32_t      crc;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    len = 0;
    ngx_crc32_init(crc);

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;

        if (!b->in_file) {
            ngx_crc32_update(&crc, b->pos, b->last - b->pos);
            len += b->last - b->pos;
            continue;
        }

        while (b->file_pos < b->file_last) {
            n = ngx_min(b->file_last - b->file_pos, (off_t) sizeof(block));
            n = ngx_read_file(b->file, block, n, b->file_pos);

            if (n <= 0) {
                ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
                return;
            }

            ngx_crc32_update(&crc, block, n);
            len += n;
            b->file_pos += n;
        }
    }

    ngx_crc32_final(crc);

    p = (u_char *) (r->request_body->temp_file ? "file" : "memory");

    ngx_http_finalize_request(r,
        ngx_http_lwc_test_say(r, "%O bytes in %s, crc %08xD\n", len, p, crc));
}


static ngx_int_t
ngx_http_lwc_test_post(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r, ngx_http_lwc_test_post_done);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_http_lwc_test_close(ngx_http_request_t *r)
{
    r->keepalive = 0;

    return ngx_http_lwc_test_say(r, "and close\n");
}


/* "set $seen_by ''" in the configuration makes it a variable to set */

static ngx_int_t
ngx_http_lwc_test_variable(ngx_http_request_t *r)
{
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v, *id;

    ngx_str_t  name = ngx_string("seen_by");
    ngx_str_t  request_id = ngx_string("request_id");

    key = ngx_hash_key(name.data, name.len);
    v = ngx_http_get_variable(r, &name, key);

    if (v == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    v->data = (u_char *) "the handler";
    v->len = sizeof("the handler") - 1;
    v->valid = 1;
    v->not_found = 0;

    /* looked up here first, and kept for the log */

    key = ngx_hash_key(request_id.data, request_id.len);
    id = ngx_http_get_variable(r, &request_id, key);

    if (id == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_lwc_test_say(r, "%v\n", id);
}


static ngx_int_t
ngx_http_lwc_test_random(ngx_http_request_t *r)
{
    u_char  bytes[16], hex[33];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *ngx_hex_dump(hex, bytes, sizeof(bytes)) = '\0';

    return ngx_http_lwc_test_say(r, "random %l %l\nrand %d %d\n"
                                    "drand48 %l %l\nopenssl %s\n",
                                 random(), random(), rand(), rand(),
                                 lrand48(), lrand48(), hex);
}


/* counters in shared memory are as ever */

static ngx_int_t
ngx_http_lwc_test_shared_hits(ngx_http_request_t *r)
{
    ngx_http_lwc_test_shared_t  *shared;

    shared = ngx_http_lwc_test_shared();

    return ngx_http_lwc_test_say(r, "hits %uA cleanups %uA\n",
                                 ngx_atomic_fetch_add(&shared->hits, 1) + 1,
                                 shared->cleanups);
}


static void
ngx_http_lwc_test_count_cleanup(void *data)
{
    ngx_http_lwc_test_shared_t *shared = data;

    (void) ngx_atomic_fetch_add(&shared->cleanups, 1);
}


/* what is to be done at the request's end is done, once */

static ngx_int_t
ngx_http_lwc_test_cleanup(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;
    ngx_http_cleanup_t  *hcln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_lwc_test_count_cleanup;
    cln->data = ngx_http_lwc_test_shared();

    hcln = ngx_http_cleanup_add(r, 0);
    if (hcln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    hcln->handler = ngx_http_lwc_test_count_cleanup;
    hcln->data = ngx_http_lwc_test_shared();

    return ngx_http_lwc_test_say(r, "cleanup\n");
}


static ngx_int_t
ngx_http_lwc_test_whoami(ngx_http_request_t *r)
{
    ngx_str_t  addr;
    u_char     text[NGX_SOCKADDR_STRLEN];

    addr.data = text;
    addr.len = NGX_SOCKADDR_STRLEN;

    if (ngx_connection_local_sockaddr(r->connection, &addr, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_lwc_test_say(r, "pid %P uid %d address %V\n", getpid(),
                                 getuid(), &addr);
}


/* the end before the start, as a wrong subtraction makes it */

static ngx_int_t
ngx_http_lwc_test_negative(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = 10;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_create_temp_buf(r->pool, 16);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = b->start + 10;
    b->last = b->start;
    b->last_buf = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_http_lwc_test_t  ngx_http_lwc_test_answers[] = {
    { ngx_string("hello"), ngx_http_lwc_test_hello },
    { ngx_string("leaky"), ngx_http_lwc_test_leaky },
    { ngx_string("big"), ngx_http_lwc_test_big },
    { ngx_string("chunked"), ngx_http_lwc_test_chunked },
    { ngx_string("dated"), ngx_http_lwc_test_dated },
    { ngx_string("headers"), ngx_http_lwc_test_headers },
    { ngx_string("status_line"), ngx_http_lwc_test_status_line },
    { ngx_string("trailers"), ngx_http_lwc_test_trailers },
    { ngx_string("status"), ngx_http_lwc_test_status },
    { ngx_string("finalize"), ngx_http_lwc_test_finalize },
    { ngx_string("declined"), ngx_http_lwc_test_declined },
    { ngx_string("redirect"), ngx_http_lwc_test_redirect },
    { ngx_string("file"), ngx_http_lwc_test_file },
    { ngx_string("nameless"), ngx_http_lwc_test_nameless },
    { ngx_string("negative"), ngx_http_lwc_test_negative },
    { ngx_string("post"), ngx_http_lwc_test_post },
    { ngx_string("close"), ngx_http_lwc_test_close },
    { ngx_string("variable"), ngx_http_lwc_test_variable },
    { ngx_string("random"), ngx_http_lwc_test_random },
    { ngx_string("shared"), ngx_http_lwc_test_shared_hits },
    { ngx_string("cleanup"), ngx_http_lwc_test_cleanup },
    { ngx_string("whoami"), ngx_http_lwc_test_whoami },
    { ngx_null_string, NULL }
};
