/* SPDX-License-Identifier: MIT */
/*
 * Knows which locations hand requests to an upstream. Such a handler starts to
 * work when it returns, so it cannot run in a context that is thrown away then,
 * and "nginx -t" should say so. nginx keeps no record of who installed a
 * location's handler, and proxy_pass with a variable leaves no trace that others
 * may read: so the directives themselves are watched while the configuration is
 * read. This must never stay in other modules' tables after that.
 */

#include "ngx_http_lwc.h"


typedef char *(*ngx_http_lwc_set_pt)(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static char *ngx_http_lwc_refuse_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void ngx_http_lwc_refuse_cleanup(void *data);


static ngx_str_t  ngx_http_lwc_refuse_names[] = {
    ngx_string("proxy_pass"),
    ngx_string("fastcgi_pass"),
    ngx_string("uwsgi_pass"),
    ngx_string("scgi_pass"),
    ngx_string("grpc_pass"),
    ngx_string("memcached_pass")
};

#define NGX_HTTP_LWC_REFUSE_N                                                 \
    (sizeof(ngx_http_lwc_refuse_names) / sizeof(ngx_str_t))


static struct {
    ngx_command_t        *cmd;
    ngx_http_lwc_set_pt   set;
} ngx_http_lwc_refuse_watched[NGX_HTTP_LWC_REFUSE_N];


ngx_int_t
ngx_http_lwc_refuse_watch(ngx_conf_t *cf)
{
    ngx_uint_t           i, k;
    ngx_command_t       *cmd;
    ngx_pool_cleanup_t  *cln;

    /* runs also when the configuration turns out to be bad */

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_lwc_refuse_cleanup;

    for (i = 0; cf->cycle->modules[i]; i++) {

        if (cf->cycle->modules[i]->type != NGX_HTTP_MODULE) {
            continue;
        }

        cmd = cf->cycle->modules[i]->commands;

        for ( /* void */ ; cmd && cmd->name.len; cmd++) {

            for (k = 0; k < NGX_HTTP_LWC_REFUSE_N; k++) {

                if (ngx_http_lwc_refuse_watched[k].cmd
                    || cmd->name.len != ngx_http_lwc_refuse_names[k].len
                    || ngx_strcmp(cmd->name.data,
                                  ngx_http_lwc_refuse_names[k].data)
                       != 0)
                {
                    continue;
                }

                ngx_http_lwc_refuse_watched[k].cmd = cmd;
                ngx_http_lwc_refuse_watched[k].set = cmd->set;
                cmd->set = ngx_http_lwc_refuse_pass;
            }
        }
    }

    return NGX_OK;
}


static char *
ngx_http_lwc_refuse_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                     *rv;
    ngx_uint_t                k;
    ngx_http_lwc_loc_conf_t  *llcf;

    for (k = 0; ngx_http_lwc_refuse_watched[k].cmd != cmd; k++) { /* void */ }

    rv = ngx_http_lwc_refuse_watched[k].set(cf, cmd, conf);

    if (rv == NGX_CONF_OK) {
        llcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_lwc_module);
        llcf->pass = cmd->name;
    }

    return rv;
}


void
ngx_http_lwc_refuse_done(void)
{
    ngx_uint_t  k;

    for (k = 0; k < NGX_HTTP_LWC_REFUSE_N; k++) {

        if (ngx_http_lwc_refuse_watched[k].cmd == NULL) {
            continue;
        }

        ngx_http_lwc_refuse_watched[k].cmd->set =
                                            ngx_http_lwc_refuse_watched[k].set;
        ngx_http_lwc_refuse_watched[k].cmd = NULL;
    }
}


static void
ngx_http_lwc_refuse_cleanup(void *data)
{
    ngx_http_lwc_refuse_done();
}
