/* SPDX-License-Identifier: MIT */
/*
 * Does in W what the handler did in H: sets headers, sends them and the body
 * through W's filters, in the same steps, and finalizes or redirects. All it uses
 * has been checked (ngx_http_lwc_check.c) and is W's own memory. It must never
 * touch the arena: nested in here, the next handler may already be running.
 */

#include "ngx_http_lwc.h"


static ngx_int_t ngx_http_lwc_set(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply);
static void ngx_http_lwc_set_head(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply);
static ngx_int_t ngx_http_lwc_set_record(ngx_http_request_t *r,
    ngx_http_lwc_record_t *rec, u_char *data);
static ngx_int_t ngx_http_lwc_set_header(ngx_http_request_t *r,
    ngx_http_lwc_record_t *rec, u_char *data);
static ngx_int_t ngx_http_lwc_set_several(ngx_http_request_t *r,
    ngx_array_t *a, ngx_table_elt_t *h);
static void ngx_http_lwc_set_variable(ngx_http_request_t *r,
    ngx_http_lwc_record_t *rec, u_char *data);

static ngx_int_t ngx_http_lwc_send(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply);
static ngx_int_t ngx_http_lwc_send_body(ngx_http_request_t *r,
    ngx_http_lwc_reply_t *reply);
static ngx_buf_t *ngx_http_lwc_buf(ngx_http_request_t *r,
    ngx_http_lwc_record_t *rec, u_char *data, ngx_file_t **file);


void
ngx_http_lwc_replay(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    if (ngx_http_lwc_set(r, reply) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    switch (reply->result.outcome) {

    case NGX_HTTP_LWC_REDIRECT:
        ngx_http_internal_redirect(r, &reply->uri, &reply->args);
        ngx_http_finalize_request(r, NGX_DONE);
        return;

    case NGX_HTTP_LWC_NAMED:
        ngx_http_named_location(r, &reply->name);
        ngx_http_finalize_request(r, NGX_DONE);
        return;

    default: /* NGX_HTTP_LWC_FINALIZE, NGX_HTTP_LWC_SPECIAL */
        ngx_http_finalize_request(r, ngx_http_lwc_send(r, reply));
        return;
    }
}


static ngx_int_t
ngx_http_lwc_set(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    u_char                 *pos, *data;
    ngx_http_lwc_record_t   rec;

    ngx_http_lwc_set_head(r, reply);

    pos = reply->first;

    while (pos < reply->last) {
        data = ngx_http_lwc_next(reply, &pos, &rec);

        if (ngx_http_lwc_set_record(r, &rec, data) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (reply->result.outcome == NGX_HTTP_LWC_SPECIAL) {

        /* taken down when nginx had begun its own page, but not the status */

        r->headers_out.content_length_n = -1;
        r->headers_out.content_type.len = 0;
    }

    /* somebody else's body comes: this length is not of that */

    if (!(reply->head.flags & NGX_HTTP_LWC_HEAD_SENT)
        && r->headers_out.content_length)
    {
        r->headers_out.content_length->hash = 0;
        r->headers_out.content_length = NULL;
    }

    if (reply->result.outcome == NGX_HTTP_LWC_REDIRECT) {
        return NGX_OK;
    }

    if (reply->uri.data) {
        r->uri = reply->uri;
        ngx_http_set_exten(r);
    }

    if (reply->args.data) {
        r->args = reply->args;
    }

    return NGX_OK;
}


static void
ngx_http_lwc_set_head(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    ngx_uint_t               i;
    ngx_http_lwc_head_t     *head;
    ngx_http_headers_out_t  *out;

    head = &reply->head;
    out = &r->headers_out;

    /* H began with copies of all that was set before, and passed them on */

    out->headers.part.nelts = 0;
    out->headers.part.next = NULL;
    out->headers.last = &out->headers.part;

    out->trailers.part.nelts = 0;
    out->trailers.part.next = NULL;
    out->trailers.last = &out->trailers.part;

    out->cache_control.nelts = 0;
    out->link.nelts = 0;

    for (i = NGX_HTTP_LWC_ROLE_ONE; i < NGX_HTTP_LWC_ROLE_CACHE_CONTROL; i++) {
        *(ngx_table_elt_t **) ((char *) out + ngx_http_lwc_roles[i]) = NULL;
    }

    ngx_str_null(&out->status_line);
    ngx_str_null(&out->content_type);
    ngx_str_null(&out->charset);

    out->content_type_lowcase = NULL;
    out->content_type_len = head->content_type_len;

    out->status = head->status;
    out->content_length_n = head->content_length;
    out->last_modified_time = head->last_modified;

    /* a handler may end keep-alive, but not bring it back */

    if (!(head->flags & NGX_HTTP_LWC_HEAD_KEEPALIVE)) {
        r->keepalive = 0;
    }

    r->allow_ranges = !!(head->flags & NGX_HTTP_LWC_HEAD_ALLOW_RANGES);
    r->single_range = !!(head->flags & NGX_HTTP_LWC_HEAD_SINGLE_RANGE);
    r->disable_not_modified = !!(head->flags & NGX_HTTP_LWC_HEAD_NO_304);
    r->expect_trailers = !!(head->flags & NGX_HTTP_LWC_HEAD_TRAILERS);
    r->error_page = !!(head->flags & NGX_HTTP_LWC_HEAD_ERROR_PAGE);

    if (head->flags & NGX_HTTP_LWC_HEAD_IN_MEMORY) {
        r->filter_need_in_memory = 1;
    }

    if (head->flags & NGX_HTTP_LWC_HEAD_ONLY) {
        r->header_only = 1;
    }

    if (head->flags & NGX_HTTP_LWC_HEAD_RATE) {
        r->limit_rate = head->limit_rate;
        r->limit_rate_set = 1;
    }

    if (head->flags & NGX_HTTP_LWC_HEAD_RATE_AFTER) {
        r->limit_rate_after = head->limit_rate_after;
        r->limit_rate_after_set = 1;
    }
}


static ngx_int_t
ngx_http_lwc_set_record(ngx_http_request_t *r, ngx_http_lwc_record_t *rec,
    u_char *data)
{
    ngx_str_t  *text;

    switch (rec->type) {

    case NGX_HTTP_LWC_STATUS_LINE:
        text = &r->headers_out.status_line;
        break;

    case NGX_HTTP_LWC_CONTENT_TYPE:
        text = &r->headers_out.content_type;
        break;

    case NGX_HTTP_LWC_CHARSET:
        text = &r->headers_out.charset;
        break;

    case NGX_HTTP_LWC_HEADER:
    case NGX_HTTP_LWC_TRAILER:
        return ngx_http_lwc_set_header(r, rec, data);

    case NGX_HTTP_LWC_VARIABLE:
        ngx_http_lwc_set_variable(r, rec, data);
        return NGX_OK;

    default:
        return NGX_OK;
    }

    /* a record has room for the zero */

    text->data = data;
    text->len = rec->len;
    data[rec->len] = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_http_lwc_set_header(ngx_http_request_t *r, ngx_http_lwc_record_t *rec,
    u_char *data)
{
    ngx_table_elt_t         *h;
    ngx_http_headers_out_t  *out;

    out = &r->headers_out;

    h = ngx_list_push((rec->type == NGX_HTTP_LWC_HEADER) ? &out->headers
                                                         : &out->trailers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;

    h->key.data = data;
    h->key.len = rec->arg;
    data[rec->arg] = '\0';

    h->value.data = data + rec->arg + 1;
    h->value.len = rec->len - rec->arg - 1;
    data[rec->len] = '\0';

    h->lowcase_key = ngx_pnalloc(r->pool, h->key.len + 1);
    if (h->lowcase_key == NULL) {
        h->hash = 0;
        return NGX_ERROR;
    }

    ngx_strlow(h->lowcase_key, h->key.data, h->key.len + 1);

    switch (rec->flags) {

    case NGX_HTTP_LWC_ROLE_NONE:
        return NGX_OK;

    case NGX_HTTP_LWC_ROLE_CACHE_CONTROL:
        return ngx_http_lwc_set_several(r, &out->cache_control, h);

    case NGX_HTTP_LWC_ROLE_LINK:
        return ngx_http_lwc_set_several(r, &out->link, h);

    default:
        *(ngx_table_elt_t **)
                         ((char *) out + ngx_http_lwc_roles[rec->flags]) = h;
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_lwc_set_several(ngx_http_request_t *r, ngx_array_t *a,
    ngx_table_elt_t *h)
{
    ngx_table_elt_t  **ph;

    if (a->elts == NULL
        && ngx_array_init(a, r->pool, 1, sizeof(ngx_table_elt_t *)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ph = ngx_array_push(a);
    if (ph == NULL) {
        return NGX_ERROR;
    }

    *ph = h;

    return NGX_OK;
}


static void
ngx_http_lwc_set_variable(ngx_http_request_t *r, ngx_http_lwc_record_t *rec,
    u_char *data)
{
    ngx_http_variable_t        *known;
    ngx_http_variable_value_t  *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    known = cmcf->variables.elts;

    v = &r->variables[rec->arg];

    /* what W found out about this request stays, if no handler may change it */

    if (v->valid && !(known[rec->arg].flags & NGX_HTTP_VAR_CHANGEABLE)) {
        return;
    }

    v->len = rec->len;
    v->data = data;
    v->valid = !!(rec->flags & NGX_HTTP_LWC_VALUE_VALID);
    v->no_cacheable = !!(rec->flags & NGX_HTTP_LWC_VALUE_NO_CACHEABLE);
    v->not_found = !!(rec->flags & NGX_HTTP_LWC_VALUE_NOT_FOUND);
    v->escape = !!(rec->flags & NGX_HTTP_LWC_VALUE_ESCAPE);
}


static ngx_int_t
ngx_http_lwc_send(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    ngx_int_t  rc;

    if (reply->head.flags & NGX_HTTP_LWC_HEAD_SENT) {

        rc = ngx_http_send_header(r);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            return rc;
        }

        /*
         * A 304, say: the handler would have stopped here. If it knew, and went
         * on, then what it said would be taken for the next response.
         */

        if (r->header_only) {
            return (reply->head.flags & NGX_HTTP_LWC_HEAD_KNOWN_ONLY)
                   ? reply->result.rc : NGX_OK;
        }
    }

    if (ngx_http_lwc_send_body(r, reply) == NGX_ERROR) {
        return NGX_ERROR;
    }

    return reply->result.rc;
}


/* with the filters called as often as in H: chunks and flushes show it */

static ngx_int_t
ngx_http_lwc_send_body(ngx_http_request_t *r, ngx_http_lwc_reply_t *reply)
{
    u_char                 *pos, *data;
    ngx_uint_t              call;
    ngx_file_t             *file;
    ngx_chain_t            *out, **last;
    ngx_http_lwc_record_t   rec;

    call = 0;
    out = NULL;
    last = &out;
    file = reply->files;

    for (pos = reply->first; pos < reply->last; /* void */ ) {
        data = ngx_http_lwc_next(reply, &pos, &rec);

        if (rec.type == NGX_HTTP_LWC_CALL) {

            if (call && ngx_http_output_filter(r, out) == NGX_ERROR) {
                return NGX_ERROR;
            }

            call = 1;
            out = NULL;
            last = &out;

            continue;
        }

        if (rec.type != NGX_HTTP_LWC_DATA && rec.type != NGX_HTTP_LWC_FILE) {
            continue;
        }

        *last = ngx_alloc_chain_link(r->pool);
        if (*last == NULL) {
            return NGX_ERROR;
        }

        (*last)->next = NULL;

        (*last)->buf = ngx_http_lwc_buf(r, &rec, data, &file);
        if ((*last)->buf == NULL) {
            return NGX_ERROR;
        }

        last = &(*last)->next;
    }

    if (call) {
        return ngx_http_output_filter(r, out);
    }

    return NGX_OK;
}


static ngx_buf_t *
ngx_http_lwc_buf(ngx_http_request_t *r, ngx_http_lwc_record_t *rec,
    u_char *data, ngx_file_t **file)
{
    ngx_buf_t            *b;
    ngx_http_lwc_file_t   part;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NULL;
    }

    b->flush = !!(rec->flags & NGX_HTTP_LWC_BUF_FLUSH);
    b->last_buf = !!(rec->flags & NGX_HTTP_LWC_BUF_LAST) && r == r->main;
    b->last_in_chain = !!(rec->flags & NGX_HTTP_LWC_BUF_LAST_IN_CHAIN);
    b->sync = !!(rec->flags & NGX_HTTP_LWC_BUF_SYNC);

    if (rec->type == NGX_HTTP_LWC_FILE) {
        ngx_memcpy(&part, data, sizeof(ngx_http_lwc_file_t));

        b->in_file = 1;
        b->file = (*file)++;
        b->file_pos = part.first;
        b->file_last = part.last;

    } else if (rec->len) {
        b->temporary = 1;
        b->start = data;
        b->pos = data;
        b->last = data + rec->len;
        b->end = b->last;
    }

    return b;
}
