/* SPDX-License-Identifier: Apache-2.0 */
/* A small archive with a key of its own, over file://: everything that is not signed is refused. */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/intr.h"
#include "image/apt.h"
#include "image/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "image/image.h"
#include "image/sha.h"

#define NO_REPO "there is no gpg to sign an archive with"

static struct {
	char *dir, *repo, *gpg, *keyring, *mirror;
} r;

static void run(const char *const *argv)
{
	struct error *e = NULL;

	assert_ok(proc_run(argv, 60000, NULL, NULL, &e), e);
}

static void put(const char *name, const char *text)
{
	_cleanup_free_ char *path = path_join(r.repo, name), *dir = path_dirname(path);
	struct error *e = NULL;

	assert_ok(file_mkdirs(dir, 0755, &e), e);
	assert_ok(file_write(path, text, strlen(text), 0644, &e), e);
}

/* Writes the signed release; `extra` are more of its lines. */
static void release(const char *codename, const char *extra)
{
	_cleanup_free_ char *index = path_join(r.repo, "dists/stone/main/binary-amd64/Packages.xz"),
			    *text = NULL, *from = path_join(r.repo, "dists/stone/Release"),
			    *to = path_join(r.repo, "dists/stone/InRelease");
	const char *sign[] = { "gpg", "--homedir", r.gpg, "--batch", "--yes", "--clearsign", "-o", to,
		from, NULL };
	struct error *e = NULL;
	char hex[SHA_HEX];
	struct stat st;

	assert_ok(sha_file(index, hex, &e), e);
	assert_int_equal(stat(index, &st), 0);
	text = xasprintf("Origin: Test\nCodename: %s\n%sSHA256:\n %s %lld "
			 "main/binary-amd64/Packages.xz\n",
		codename, extra, hex, (long long)st.st_size);
	put("dists/stone/Release", text);
	run(sign);
}

static int make_repo(void **state)
{
	char hex[SHA_HEX], other[SHA_HEX];
	_cleanup_free_ char *index = NULL, *gpg = path_find_program("gpg");
	_cleanup_free_ char *text = NULL;

	r.dir = xstrdup("/tmp/croft-repo-XXXXXX");
	if (!gpg || !mkdtemp(r.dir))
		return 0;
	r.repo = path_join(r.dir, "repo");
	r.gpg = path_join(r.dir, "gpg");
	r.keyring = path_join(r.dir, "key.gpg");
	r.mirror = xasprintf("file://%s", r.repo);
	mkdir(r.gpg, 0700);
	index = path_join(r.repo, "dists/stone/main/binary-amd64/Packages");
	sha_bytes("content", 7, hex);
	sha_bytes("another", 7, other);
	text = xasprintf("Package: other\nVersion: 1\nFilename: pool/o.deb\nSize: 7\nSHA256: %s\n\n"
			 "Package: thing\nVersion: 2\nDepends: other (>= 1)\nFilename: pool/t.deb\n"
			 "Size: 7\nSHA256: %s\n\nPackage: odd\nFilename: pool/t.deb\nSize: -1\n"
			 "SHA256: ../../../../etc/passwd\n\n"
			 "Package: top\nPre-Depends: none | thing:any (>= 1) | odd, perl-base\nDepends: odd | other, deep\n"
			 "Filename: x\n\nPackage: deep\nDepends: top, perl:any\nFilename: x\n\n"
			 "Package: lost\nDepends: none (>= 2) | nobody\nFilename: x\n",
		other, hex);
	{
		const char *key[] = { "gpg", "--homedir", r.gpg, "--batch", "--passphrase", "",
			"--quick-gen-key", "test@example.org", "ed25519", "sign", "never", NULL };
		const char *export[] = { "gpg", "--homedir", r.gpg, "--batch", "-o", r.keyring,
			"--export", NULL };
		const char *xz[] = { "xz", "-k", index, NULL };

		run(key);
		run(export);
		put("dists/stone/main/binary-amd64/Packages", text);
		put("pool/t.deb", "content");
		run(xz);
	}
	return 0;
}

static int drop_repo(void **state)
{
	const char *kill_agent[] = { "gpgconf", "--homedir", r.gpg, "--kill", "gpg-agent", NULL };
	struct error *e = NULL;

	if (r.gpg)
		proc_run(kill_agent, 10000, NULL, NULL, &e);
	error_clear(&e);
	file_remove_tree(r.dir, &e);
	error_clear(&e);
	return 0;
}

/* An empty cache, and the release as it should be. */
static int fresh(void **state)
{
	_cleanup_free_ char *home = path_join(r.dir, "home");
	struct error *e = NULL;

	if (!r.mirror)
		return 0;
	setenv("CROFT_HOME", home, 1);
	setenv("CROFT_KEYRING", r.keyring, 1);
	assert_ok(file_remove_tree(home, &e), e);
	put("pool/t.deb", "content");
	release("stone", "");
	return 0;
}

static struct apt *open_repo(bool offline, struct error **err)
{
	struct apt_source src;
	struct apt *a;

	apt_source_init(&src, r.mirror, "stone", "amd64", offline);
	a = apt_open(&src, err);
	apt_source_clear(&src);
	if (a && apt_load(a, err) < 0) {
		apt_close(a);
		return NULL;
	}
	return a;
}

static void refused(bool offline, enum error_class cls, const char *says)
{
	struct error *e = NULL;

	assert_null(open_repo(offline, &e));
	assert_err(-1, e, cls, says);
}

static void packages_are_fetched_and_kept(void **s)
{
	struct error *e = NULL;
	struct apt *a;

	if (!r.mirror)
		skip_test(NO_REPO);
	a = open_repo(false, &e);
	assert_ok(a ? 0 : -1, e);
	{
		_cleanup_free_ char *deb = apt_fetch(a, "thing", &e),
				    *needs = apt_field(a, "thing", "Depends"),
				    *none = apt_field(a, "thin", "Depends");

		assert_ok(deb ? 0 : -1, e);
		assert_string_equal(needs, "other (>= 1)");
		assert_null(none);
		assert_null(apt_fetch(a, "absent", &e));
		assert_err(-1, e, ERR_NOT_FOUND, "package absent: not in file://");
		assert_null(apt_fetch(a, "odd", &e));
		assert_err(-1, e, ERR_NOT_FOUND, "package odd");
	}
	apt_close(a);
	/* Nothing of the archive is left: the cache alone serves it. */
	put("pool/t.deb", "changed");
	put("dists/stone/InRelease", "");
	a = open_repo(true, &e);
	assert_ok(a ? 0 : -1, e);
	{
		_cleanup_free_ char *deb = apt_fetch(a, "thing", &e);

		assert_ok(deb ? 0 : -1, e);
		assert_null(apt_fetch(a, "other", &e));
		assert_err(-1, e, ERR_NOT_FOUND, "o.deb: not in the cache");
		/* A damaged file of the cache is not handed out. */
		assert_ok(file_write(deb, "conten!", 7, 0644, &e), e);
		assert_null(apt_fetch(a, "thing", &e));
		assert_err(-1, e, ERR_NOT_FOUND, "t.deb: not in the cache");
	}
	apt_close(a);
}

static void needs_are_followed(void **s)
{
	_cleanup_strv_ struct strv skip = STRV_INIT, all = STRV_INIT, lost = STRV_INIT;
	_cleanup_free_ char *text = NULL;
	struct error *e = NULL;
	struct apt *a;

	if (!r.mirror)
		skip_test(NO_REPO);
	a = open_repo(false, &e);
	assert_ok(a ? 0 : -1, e);
	strv_add(&skip, "perl*");
	strv_add(&all, "top");
	assert_ok(apt_closure(a, &skip, &all, &e), e);
	text = strv_join(&all, " ");
	/* "odd | other" comes before thing's "other", and takes odd. */
	assert_string_equal(text, "top thing odd deep other");
	strv_add(&lost, "lost");
	assert_err(apt_closure(a, &skip, &lost, &e), e, ERR_FAILED, "package lost: no package in the archive is 'none (>= 2) | nobody'");
	apt_close(a);
}

static void changed_package_is_refused(void **s)
{
	struct error *e = NULL;
	struct apt *a;

	if (!r.mirror)
		skip_test(NO_REPO);
	a = open_repo(false, &e);
	assert_ok(a ? 0 : -1, e);
	put("pool/t.deb", "conteNt");
	assert_null(apt_fetch(a, "thing", &e));
	assert_err(-1, e, ERR_FAILED, "has SHA-256");
	put("pool/t.deb", "content and more");
	assert_null(apt_fetch(a, "thing", &e));
	assert_err(-1, e, ERR_FAILED, "t.deb");
	apt_close(a);
}

static void changed_release_is_refused(void **s)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;

	if (!r.mirror)
		skip_test(NO_REPO);
	path = path_join(r.repo, "dists/stone/InRelease");
	assert_ok(file_read(path, 1 << 16, &b, &e), e);
	*strstr(b.data, "Origin: Test") = 'P';
	put("dists/stone/InRelease", b.data);
	refused(false, ERR_FAILED, "the signature does not verify");
	put("dists/stone/InRelease", "Origin: Test\nCodename: stone\n");
	refused(false, ERR_FAILED, "the signature does not verify");
	/* Nothing of it was kept. */
	refused(true, ERR_NOT_FOUND, "not in the cache");
	unlink(path);
	refused(false, ERR_FAILED, "InRelease");
}

static void other_release_is_refused(void **s)
{
	if (!r.mirror)
		skip_test(NO_REPO);
	release("sand", "");
	refused(false, ERR_FAILED, "is of sand, not of stone");
	release("stone", "Valid-Until: Sat, 01 Jan 2000 00:00:00 UTC\n");
	refused(false, ERR_FAILED, "was valid until Sat, 01 Jan 2000");
	release("stone", "Valid-Until: soon\n");
	refused(false, ERR_FAILED, "was valid until soon");
}

static void changed_index_is_refused(void **s)
{
	struct error *e = NULL;
	_cleanup_free_ char *index = NULL, *kept = NULL;

	if (!r.mirror)
		skip_test(NO_REPO);
	index = path_join(r.repo, "dists/stone/main/binary-amd64/Packages.xz");
	kept = xasprintf("%s.kept", index);
	assert_ok(file_rename(index, kept, &e), e);
	put("dists/stone/main/binary-amd64/Packages.xz", "not what was signed");
	refused(false, ERR_FAILED, "Packages.xz");
	assert_ok(file_rename(kept, index, &e), e);
}

static void missing_keyring_is_said(void **s)
{
	if (!r.mirror)
		skip_test(NO_REPO);
	setenv("CROFT_KEYRING", "/nonexistent.gpg", 1);
	refused(false, ERR_NOT_FOUND, "/nonexistent.gpg");
}

/* A server that takes the connection and then says nothing: only the signal ends the wait. */
static void fetch_ends_by_a_signal(void **s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *url = NULL;
	socklen_t n = sizeof(a);
	struct error *e = NULL;

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	url = xasprintf("http://127.0.0.1:%d/x", ntohs(a.sin_port));
	intr_signal = SIGINT;
	assert_err(fetch(url, NULL, 100, &b, &e), e, ERR_INTR, "interrupted");
	intr_signal = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetch_ends_by_a_signal),
		cmocka_unit_test_setup(packages_are_fetched_and_kept, fresh),
		cmocka_unit_test_setup(needs_are_followed, fresh),
		cmocka_unit_test_setup(changed_package_is_refused, fresh),
		cmocka_unit_test_setup(changed_release_is_refused, fresh),
		cmocka_unit_test_setup(other_release_is_refused, fresh),
		cmocka_unit_test_setup(changed_index_is_refused, fresh),
		cmocka_unit_test_setup(missing_keyring_is_said, fresh),
	};

	return cmocka_run_group_tests(tests, make_repo, drop_repo);
}
