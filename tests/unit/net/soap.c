/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "net/soap.h"

#define E(body) "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">" body "</s:Envelope>"
#define CALL(args) E("<s:Body><u:Add xmlns:u=\"urn:x:1\">" args "</u:Add></s:Body>")

static void a_call(void **state)
{
	static const char text[] = E("<s:Header><x>1</x></s:Header><s:Body><u:Add xmlns:u=\"urn:x:1\"><A>1</A><B/> <C>a &lt;b&gt; &amp; c</C></u:Add></s:Body>");
	struct soap_call c;

	assert_true(soap_parse(text, sizeof(text) - 1, &c));
	assert_string_equal(c.type, "urn:x:1");
	assert_string_equal(c.action, "Add");
	assert_int_equal(c.nargs, 3);
	assert_string_equal(soap_arg(&c, "A"), "1");
	assert_string_equal(soap_arg(&c, "B"), "");
	assert_string_equal(soap_arg(&c, "C"), "a <b> & c");
	assert_null(soap_arg(&c, "x"));
}

static void what_is_none(void **state)
{
	static const char *const bad[] = { "", "x", E(""), E("<s:Body/>"), CALL("<A>1"), CALL("<A><B>1</B></A>"),
		"<Envelope><Body><Add/></Body></Envelope>", "<!DOCTYPE a [<!ENTITY b 'c'>]>" CALL("<A>&b;</A>"), CALL("<A>&b;</A>"),
		E("<s:Body><u:Add xmlns:u=\"urn:x:1\"/><u:Del xmlns:u=\"urn:x:1\"/></s:Body>"), E("<s:Header><u:Add xmlns:u=\"urn:x:1\"/></s:Header>"),
		CALL("<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/>") };
	struct soap_call c;
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (soap_parse(bad[i], strlen(bad[i]), &c))
			fail_msg("'%s' was taken for a call", bad[i]);
	/* More arguments, and a longer one, than there is room for. */
	for (int i = 0; i < SOAP_ARGS + 1; i++)
		buf_addf(&b, "<A%d>1</A%d>", i, i);
	for (int kind = 0; kind < 2; kind++) {
		_cleanup_free_ char *text = xasprintf(CALL("%s%s"), buf_str(&b), kind ? "</A>" : "");

		assert_false(soap_parse(text, strlen(text), &c));
		buf_clear(&b);
		buf_adds(&b, "<A>");
		for (int i = 0; i < SOAP_VALUE; i++)
			buf_addc(&b, 'x');
	}
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
