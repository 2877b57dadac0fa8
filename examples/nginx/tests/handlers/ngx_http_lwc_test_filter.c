/* SPDX-License-Identifier: MIT */
/*
 * A filter that asks for more of the same, as "slice" does: after a response to a
 * request with the argument "clone" comes that of a clone of the request. It must
 * never do anything to other requests.
 */

#include "ngx_http_lwc_test.h"


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_uint_t
ngx_http_lwc_test_clones(ngx_http_request_t *r)
{
    return r == r->main && ngx_http_lwc_test_arg(r, "clone", 0) != 0;
}


static ngx_int_t
ngx_http_lwc_test_header_filter(ngx_http_request_t *r)
{
    if (ngx_http_lwc_test_clones(r)) {
        ngx_http_clear_content_length(r);
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_lwc_test_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t            rc;
    ngx_uint_t           last;
    ngx_chain_t         *cl;
    ngx_http_request_t  *sr;

    last = 0;

    if (in && ngx_http_lwc_test_clones(r)
        && ngx_http_get_module_ctx(r, ngx_http_lwc_test_module) == NULL)
    {
        for (cl = in; cl; cl = cl->next) {
            if (cl->buf->last_buf) {
                cl->buf->last_buf = 0;
                cl->buf->last_in_chain = 1;
                cl->buf->sync = 1;
                last = 1;
            }
        }
    }

    rc = ngx_http_next_body_filter(r, in);

    if (rc == NGX_ERROR || !last) {
        return rc;
    }

    ngx_http_set_ctx(r, r, ngx_http_lwc_test_module);

    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_CLONE)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_send_special(r, NGX_HTTP_LAST);
}


ngx_int_t
ngx_http_lwc_test_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_lwc_test_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_lwc_test_body_filter;

    return NGX_OK;
}
