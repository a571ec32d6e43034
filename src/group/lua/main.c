/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft-lua: runs a file of test cases that is written in Lua (docs/tests.md), for the test runner (group/testlua.c), one case a process,
 * so that no case finds what another has left in a variable. A program of its own so that croft is not linked with Lua. It touches no
 * machine itself: each step is asked for on stdout, a JSON object a line as a step in YAML, and answered on stdin, {"ok":true,
 * "status":0,"output":"..."} or {"ok":false,"why":"..."}. What a script prints goes to stderr.
 *
 *	croft-lua FILE list	one object: name, snapshot, setup (whether there is one), cases: [{name, snapshot, line}]
 *	croft-lua FILE run N	case N, the first is 1; 0: setup. The last line is {"end":"passed"} or {"end":"failed","why":"..."}
 */
#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keys of the registry. */
static const char cases_key, setup_key, facts_key;

static FILE *requests; /* stdout, before scripts could write to it */

static void say(json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT);

	fprintf(requests, "%s\n", text ? text : "{}");
	fflush(requests);
	free(text);
	json_decref(o);
}

/* ---- steps ---- */

static json_t *to_json(lua_State *l, int at)
{
	json_t *list;

	switch (lua_type(l, at)) {
	case LUA_TBOOLEAN:
		return json_boolean(lua_toboolean(l, at));
	case LUA_TNUMBER:
		return lua_isinteger(l, at) ? json_integer(lua_tointeger(l, at)) : json_real(lua_tonumber(l, at));
	case LUA_TSTRING:
		return json_string(lua_tostring(l, at));
	case LUA_TTABLE:
		list = json_array();
		for (lua_Integer i = 1; lua_geti(l, at, i) != LUA_TNIL; i++, lua_pop(l, 1))
			json_array_append_new(list, to_json(l, lua_gettop(l)));
		lua_pop(l, 1);
		return list;
	default:
		return json_null();
	}
}

/* expect, contains, within ... of the table at `at`, if there is one. */
static void add_options(lua_State *l, int at, json_t *step)
{
	if (lua_isnoneornil(l, at))
		return;
	luaL_checktype(l, at, LUA_TTABLE);
	for (lua_pushnil(l); lua_next(l, at); lua_pop(l, 1))
		if (lua_type(l, -2) == LUA_TSTRING)
			json_object_set_new(step, lua_tostring(l, -2), to_json(l, lua_gettop(l)));
}

/* Has the step done; output and status are the results. What was not as expected is an error at the script's line. */
static int ask(lua_State *l, json_t *step)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	json_t *a;

	say(step);
	n = getline(&line, &cap, stdin);
	a = n > 0 ? json_loads(line, 0, NULL) : NULL;
	free(line);
	if (!a)
		return luaL_error(l, "the test runner has ended");
	if (!json_is_true(json_object_get(a, "ok"))) {
		luaL_where(l, 1);
		lua_pushstring(l, json_string_value(json_object_get(a, "why")));
		json_decref(a);
		lua_concat(l, 2);
		return lua_error(l);
	}
	lua_pushlstring(l, json_string_value(json_object_get(a, "output")) ? json_string_value(json_object_get(a, "output")) : "",
		json_string_length(json_object_get(a, "output")));
	lua_pushinteger(l, json_integer_value(json_object_get(a, "status")));
	json_decref(a);
	return 2;
}

/* run(node, command [, options]) */
static int step_run(lua_State *l)
{
	json_t *step = json_pack("{s:s, s:s}", "node", luaL_checkstring(l, 1), "run", luaL_checkstring(l, 2));

	add_options(l, 3, step);
	return ask(l, step);
}

/* host(command), net(words), app(words) [, options]; upvalue: which. */
static int step_text(lua_State *l)
{
	json_t *step = json_pack("{s:s}", lua_tostring(l, lua_upvalueindex(1)), luaL_checkstring(l, 1));

	add_options(l, 2, step);
	return ask(l, step);
}

/* cut(NODE...), heal(NODE...): words of net; snapshot(NAME), restore(NAME): words of app. */
static int step_words(lua_State *l)
{
	luaL_Buffer b;
	int n = lua_gettop(l);

	luaL_buffinit(l, &b);
	luaL_addstring(&b, lua_tostring(l, lua_upvalueindex(2)));
	for (int i = 1; i <= n; i++) {
		luaL_addchar(&b, ' ');
		luaL_addstring(&b, luaL_checkstring(l, i));
	}
	luaL_pushresult(&b);
	return ask(l, json_pack("{s:s, s:s}", lua_tostring(l, lua_upvalueindex(1)), lua_tostring(l, -1), "timeout", "5m"));
}

static int check(lua_State *l)
{
	if (lua_toboolean(l, 1))
		return 0;
	luaL_where(l, 1);
	lua_pushstring(l, luaL_optstring(l, 2, "what was expected is not so"));
	lua_concat(l, 2);
	return lua_error(l);
}

/* What scripts print is for people; stdout is ours. */
static int print_text(lua_State *l)
{
	for (int i = 1; i <= lua_gettop(l); i++, lua_settop(l, lua_gettop(l) - 1))
		fprintf(stderr, "%s%s", i > 1 ? "\t" : "", luaL_tolstring(l, i, NULL));
	fputc('\n', stderr);
	return 0;
}

/* ---- what a file declares ---- */

/* case(NAME, [{snapshot = S},] function) */
static int declare_case(lua_State *l)
{
	lua_Debug d;
	int fn = lua_isfunction(l, 2) ? 2 : 3;

	luaL_checkstring(l, 1);
	luaL_checktype(l, fn, LUA_TFUNCTION);
	lua_rawgetp(l, LUA_REGISTRYINDEX, &cases_key);
	lua_newtable(l);
	lua_pushvalue(l, 1);
	lua_setfield(l, -2, "name");
	lua_pushvalue(l, fn);
	lua_setfield(l, -2, "run");
	if (fn == 3) {
		luaL_checktype(l, 2, LUA_TTABLE);
		lua_getfield(l, 2, "snapshot");
		lua_setfield(l, -2, "snapshot");
	}
	lua_pushinteger(l, lua_getstack(l, 1, &d) && lua_getinfo(l, "l", &d) ? d.currentline : 1);
	lua_setfield(l, -2, "line");
	lua_seti(l, -2, luaL_len(l, -2) + 1);
	return 0;
}

static int declare_setup(lua_State *l)
{
	luaL_checktype(l, 1, LUA_TFUNCTION);
	lua_pushvalue(l, 1);
	lua_rawsetp(l, LUA_REGISTRYINDEX, &setup_key);
	return 0;
}

/* suite{name = , snapshot = } */
static int declare_suite(lua_State *l)
{
	luaL_checktype(l, 1, LUA_TTABLE);
	lua_pushvalue(l, 1);
	lua_rawsetp(l, LUA_REGISTRYINDEX, &facts_key);
	return 0;
}

static void open_all(lua_State *l)
{
	static const char *const texts[] = { "host", "net", "app", "wait" };
	static const char *const words[][2] = { { "net", "cut" }, { "net", "heal" }, { "net", "partition" }, { "net", "link" }, { "app", "snapshot" },
		{ "app", "restore" } };
	static const luaL_Reg rest[] = { { "run", step_run }, { "expect", check }, { "print", print_text }, { "case", declare_case },
		{ "setup", declare_setup }, { "suite", declare_suite } };

	luaL_openlibs(l);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		lua_pushstring(l, texts[i]);
		lua_pushcclosure(l, step_text, 1);
		lua_setglobal(l, texts[i]);
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		lua_pushstring(l, words[i][0]);
		lua_pushstring(l, words[i][1]);
		lua_pushcclosure(l, step_words, 2);
		lua_setglobal(l, words[i][1]);
	}
	for (size_t i = 0; i < sizeof(rest) / sizeof(*rest); i++)
		lua_register(l, rest[i].name, rest[i].func);
	lua_newtable(l);
	lua_rawsetp(l, LUA_REGISTRYINDEX, &cases_key);
	lua_newtable(l);
	lua_rawsetp(l, LUA_REGISTRYINDEX, &facts_key);
}

/* ---- the two verbs ---- */

static void set_text(lua_State *l, const char *key, json_t *o)
{
	lua_getfield(l, -1, key);
	if (lua_type(l, -1) == LUA_TSTRING)
		json_object_set_new(o, key, json_string(lua_tostring(l, -1)));
	lua_pop(l, 1);
}

static int list(lua_State *l)
{
	json_t *o = json_object(), *all = json_array();

	lua_rawgetp(l, LUA_REGISTRYINDEX, &facts_key);
	set_text(l, "name", o);
	set_text(l, "snapshot", o);
	json_object_set_new(o, "setup", json_boolean(lua_rawgetp(l, LUA_REGISTRYINDEX, &setup_key) == LUA_TFUNCTION));
	lua_rawgetp(l, LUA_REGISTRYINDEX, &cases_key);
	for (lua_Integer i = 1; lua_geti(l, -1, i) == LUA_TTABLE; i++, lua_pop(l, 1)) {
		json_t *c = json_object();

		set_text(l, "name", c);
		set_text(l, "snapshot", c);
		lua_getfield(l, -1, "line");
		json_object_set_new(c, "line", json_integer(lua_tointeger(l, -1)));
		lua_pop(l, 1);
		json_array_append_new(all, c);
	}
	json_object_set_new(o, "cases", all);
	say(o);
	return 0;
}

/* Errors that are no texts, by a script's own error({}), are shown as what they are. */
static const char *error_text(lua_State *l)
{
	return luaL_tolstring(l, -1, NULL);
}

static int run(lua_State *l, long n)
{
	if (n == 0) {
		lua_rawgetp(l, LUA_REGISTRYINDEX, &setup_key);
	} else {
		lua_rawgetp(l, LUA_REGISTRYINDEX, &cases_key);
		if (lua_geti(l, -1, n) == LUA_TTABLE)
			lua_getfield(l, -1, "run");
	}
	if (!lua_isfunction(l, -1)) {
		fprintf(stderr, "croft-lua: there is no case %ld\n", n);
		return 2;
	}
	if (lua_pcall(l, 0, 0, 0) == LUA_OK)
		say(json_pack("{s:s}", "end", "passed"));
	else
		say(json_pack("{s:s, s:s}", "end", "failed", "why", error_text(l)));
	return 0;
}

int main(int argc, char **argv)
{
	bool runs = argc == 4 && !strcmp(argv[2], "run");
	lua_State *l = luaL_newstate();
	int rc = 2, own = dup(1);

	if (!l || own < 0 || (!runs && !(argc == 3 && !strcmp(argv[2], "list")))) {
		fputs("usage: croft-lua FILE list | FILE run N (croft runs this, not people)\n", stderr);
		return 2;
	}
	requests = fdopen(own, "w");
	dup2(2, 1);
	open_all(l);
	if (luaL_loadfile(l, argv[1]) != LUA_OK || lua_pcall(l, 0, 0, 0) != LUA_OK)
		fprintf(stderr, "%s\n", error_text(l));
	else
		rc = runs ? run(l, strtol(argv[3], NULL, 10)) : list(l);
	lua_close(l);
	return rc;
}
