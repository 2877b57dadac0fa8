// SPDX-License-Identifier: MIT
/*
 * vault.c - signs lines with a key that only a private context has.
 *
 * All outside of the context counts as hostile, the shared memory included. Nothing
 * that is computed from the key must ever leave the context, but signatures.
 */
#define _GNU_SOURCE
#include <err.h>
#include <grp.h>
#include <lwc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST		4096
#define SIGNATURE	64

/* What both sides see. */
struct request {
	size_t size;
	unsigned char text[MOST], signature[SIGNATURE];
};

static void must(const char *what, int ret)
{
	if (ret)
		errx(1, "%s: %s", what, strerror(-ret));
}

static EVP_PKEY *read_key(FILE *file)
{
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);

	if (!key || EVP_PKEY_id(key) != EVP_PKEY_ED25519)
		errx(1, "that is no Ed25519 private key in PEM");
	fclose(file);
	return key;
}

/* Return: false if it cannot be signed. */
static bool sign(EVP_PKEY *key, struct request *request)
{
	/* Once: who else has this memory may change it between two looks. */
	size_t size = *(volatile size_t *)&request->size, n = SIGNATURE;
	unsigned char text[MOST], signature[SIGNATURE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok;

	if (size > MOST)
		size = MOST;
	memcpy(text, request->text, size);
	ok = md && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
	     EVP_DigestSign(md, signature, &n, text, size) == 1;
	if (ok)
		memcpy(request->signature, signature, SIGNATURE);
	EVP_MD_CTX_free(md);
	return ok;
}

/* Becomes an ordinary user, for good. */
static void become(const char *name)
{
	const struct passwd *user;

	if (!name)
		return;
	user = getpwnam(name);
	if (!user)
		errx(1, "there is no user %s", name);
	if (initgroups(name, user->pw_gid) || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid))
		err(1, "cannot become %s", name);
}

int main(int argc, char **argv)
{
	bool open_vault = argc > 1 && !strcmp(argv[1], "--open");
	char **argument = argv + 1 + open_vault, *line = NULL;
	struct request *request;
	struct lwc_event ev;
	EVP_PKEY *key = NULL;
	size_t room = 0;
	ssize_t n;
	FILE *file;
	int vault = -1;

	if (!argument[0] || (argument[1] && argument[2]) || !strcmp(argument[0], "--help")) {
		printf("usage: vault [--open] KEY [USER] <LINES\n\n"
		       "Signs each line with the Ed25519 key in the file KEY, which it reads before\n"
		       "it becomes USER. --open: without a context, to see the difference.\n");
		return !argument[0] || strcmp(argument[0], "--help");
	}
	file = fopen(argument[0], "re");
	if (!file)
		err(1, "%s", argument[0]);
	request = lwc_shared_alloc(sizeof(*request));
	if (!request)
		err(1, "shared memory");

	if (open_vault) {
		key = read_key(file);
	} else {
		must("lwc_create", lwc_create(NULL, 0, LWC_PRIVATE, &ev));
		if (ev.reason == LWC_EV_SWITCH) {	/* In the vault. */
			key = read_key(file);
			become(argument[1]);
			for (bool ok = true;; ok = sign(key, request))
				must("lwc_switch", lwc_switch(ev.caller, 0, ok, &ev));
		}
		vault = ev.created;
		/* Who may only switch cannot map what is in there, nor have it run anything. */
		must("lwc_restrict", lwc_restrict(vault, LWC_MAY_SWITCH, NULL, 0));
		must("lwc_switch", lwc_switch(vault, 0, 0, &ev));
		fclose(file);
	}
	become(argument[1]);

	/* From here on it may be taken over, and the key is still safe. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((n = getline(&line, &room, stdin)) > 0) {
		n -= line[n - 1] == '\n';
		if (n > MOST)
			errx(1, "a line of more than %d bytes", MOST);
		memcpy(request->text, line, n);
		request->size = n;
		if (open_vault)
			ev.arg = sign(key, request);
		else
			must("lwc_switch", lwc_switch(vault, 0, 0, &ev));
		if (!ev.arg)
			errx(1, "the vault cannot sign");
		for (int i = 0; i < SIGNATURE; i++)
			printf("%02x", request->signature[i]);
		printf(" %.*s\n", (int)n, line);
	}
	return 0;
}
