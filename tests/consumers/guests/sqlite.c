/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sqlite.c - the SQLite guest: a database in memory, with the orders of a shop.
 * See guest.h.
 *
 * start() opens the database, loads a fixed content (4,300 rows, two indices)
 * and prepares the statements. Kinds of requests:
 *
 *	0	a lookup: a customer and the last five orders, by an index
 *	1	a report: the ten products sold most in thirty days
 *	2	an order: written with its lines, priced with what the
 *		customer bought before, and rolled back, so that the answer
 *		does not depend on earlier requests
 *
 * A session's events, the last fifty, and a document of 24 lines are tables of the
 * same database.
 *
 * An answer has a line for each row, with bars between the columns. All values
 * are integers or text, because a floating-point number may print differently
 * where long double has another width.
 *
 * SQLite is built without an operating system (SQLITE_OS_OTHER), so the file
 * system is here, and has no files. randomness() draws from the state that
 * restored() renews.
 */
#include <stdio.h>
#include <string.h>

#include "guest.h"
#include "sqlite3.h"

#define CUSTOMERS 200u
#define PRODUCTS 100u
#define ORDERS 1000u
#define LINES_OF_ORDER 3u
#define DAYS 365u
#define REPORT_DAYS 30u

enum kind {
	LOOKUP,
	REPORT,
	ORDER,
};

enum statement {
	CUSTOMER,
	LAST_ORDERS,
	TOP_PRODUCTS,
	BEGIN,
	ADD_ORDER,
	ADD_LINE,
	TAKE_STOCK,
	PRICE,
	ROLLBACK,
	COMMIT,
	ADD_EVENT,
	FORGET_EVENT,
	EDIT_LINE,
	ANSWER_EVENT,
	SHOW_EVENTS,
	SHOW_LINES,
	END_EVENTS,
	END_LINES,
	BEGIN_LINES,
	STATEMENTS
};

static const char schema[] =
	"CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
	"CREATE TABLE products(id INTEGER PRIMARY KEY, name TEXT, cents INT,"
	" stock INT);"
	"CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INT, day INT);"
	"CREATE TABLE lines(id INTEGER PRIMARY KEY, order_id INT, product INT,"
	" quantity INT);"
	"CREATE INDEX orders_by_customer ON orders(customer, day);"
	"CREATE INDEX lines_by_order ON lines(order_id);"
	"CREATE TABLE events(id INTEGER PRIMARY KEY, product INT, value INT);"
	"CREATE TABLE document(line INTEGER PRIMARY KEY, text TEXT)";

static const char *const sources[STATEMENTS] = {
	[CUSTOMER] = "SELECT name, city FROM customers WHERE id = ?1",
	[LAST_ORDERS] =
		"SELECT o.id, o.day, count(*), sum(l.quantity * p.cents)"
		" FROM (SELECT id, day FROM orders WHERE customer = ?1"
		" ORDER BY day DESC, id LIMIT 5) o"
		" JOIN lines l ON l.order_id = o.id"
		" JOIN products p ON p.id = l.product"
		" GROUP BY o.id ORDER BY o.day DESC, o.id",
	[TOP_PRODUCTS] = "SELECT p.name, sum(l.quantity) AS sold,"
			 " sum(l.quantity * p.cents)"
			 " FROM orders o JOIN lines l ON l.order_id = o.id"
			 " JOIN products p ON p.id = l.product"
			 " WHERE o.day BETWEEN ?1 AND ?2"
			 " GROUP BY p.id ORDER BY sold DESC, p.id LIMIT 10",
	[BEGIN] = "BEGIN",
	[ADD_ORDER] = "INSERT INTO orders VALUES(?1, ?2, ?3)",
	[ADD_LINE] = "INSERT INTO lines VALUES(NULL, ?1, ?2, ?3)",
	[TAKE_STOCK] = "UPDATE products SET stock = stock - ?2 WHERE id = ?1",
	[PRICE] = "SELECT count(DISTINCT o.id), sum(l.quantity * p.cents),"
		  " sum((o.id = ?2) * l.quantity * p.cents), min(p.stock)"
		  " FROM orders o JOIN lines l ON l.order_id = o.id"
		  " JOIN products p ON p.id = l.product WHERE o.customer = ?1",
	[ROLLBACK] = "ROLLBACK",
	[COMMIT] = "COMMIT",
	[ADD_EVENT] = "INSERT INTO events VALUES(?1, ?2, ?3)",
	[FORGET_EVENT] = "DELETE FROM events WHERE id = ?1 - 50",
	[EDIT_LINE] =
		"UPDATE document SET text = 'Line ' || ?1 || ' is of event '"
		" || ?2 || '.' WHERE line = ?1",
	[ANSWER_EVENT] = "SELECT e.id, f.id, p.name, p.cents * (e.value % 9),"
			 " d.text FROM events e JOIN products p"
			 " ON p.id = e.product JOIN document d ON d.line = ?2"
			 " JOIN events f ON f.id = max(1, ?1 - 49)"
			 " WHERE e.id = ?1",
	[SHOW_EVENTS] = "SELECT * FROM events ORDER BY id",
	[SHOW_LINES] = "SELECT * FROM document ORDER BY line",
	[END_EVENTS] = "DELETE FROM events",
	[END_LINES] = "DELETE FROM document",
	[BEGIN_LINES] =
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL"
		" SELECT i + 1 FROM n WHERE i < 23) INSERT INTO document"
		" SELECT i, 'Line ' || i || ' is empty.' FROM n",
};

static sqlite3 *db;
static sqlite3_stmt *statements[STATEMENTS];
static struct guest_random state = { 1, 2 };
static uint32_t served, events;
static char text[ANSWER_BYTES];
static uint32_t length;

/* ----------------------------------------------- the system without files */

static int no_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
		   int flags, int *flags_out)
{
	(void)vfs;
	(void)name;
	(void)flags;
	(void)flags_out;
	file->pMethods = NULL;
	return SQLITE_CANTOPEN;
}

static int no_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	(void)vfs;
	(void)name;
	(void)sync;
	return SQLITE_IOERR_DELETE_NOENT;
}

static int no_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
	(void)vfs;
	(void)name;
	(void)flags;
	*result = 0;
	return SQLITE_OK;
}

static int full_pathname(sqlite3_vfs *vfs, const char *name, int room,
			 char *full)
{
	(void)vfs;
	sqlite3_snprintf(room, full, "%s", name);
	return SQLITE_OK;
}

static int randomness(sqlite3_vfs *vfs, int count, char *bytes)
{
	(void)vfs;
	for (int i = 0; i < count; i++)
		bytes[i] = (char)(guest_random_next(&state) >> 56);
	return count;
}

static int no_sleep(sqlite3_vfs *vfs, int microseconds)
{
	(void)vfs;
	return microseconds;
}

/* Milliseconds since noon in Greenwich on November 24, 4714 B.C. */
static int current_time_int64(sqlite3_vfs *vfs, sqlite3_int64 *now)
{
	(void)vfs;
	*now = INT64_C(210866760000000) +
	       (sqlite3_int64)(STANDING_NS / 1000000);
	return SQLITE_OK;
}

static int current_time(sqlite3_vfs *vfs, double *now)
{
	sqlite3_int64 ms;
	int err = current_time_int64(vfs, &ms);

	*now = (double)ms / 86400000.0;
	return err;
}

int sqlite3_os_init(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 2,
		.szOsFile = sizeof(sqlite3_file),
		.mxPathname = 64,
		.zName = "none",
		.xOpen = no_open,
		.xDelete = no_delete,
		.xAccess = no_access,
		.xFullPathname = full_pathname,
		.xRandomness = randomness,
		.xSleep = no_sleep,
		.xCurrentTime = current_time,
		.xCurrentTimeInt64 = current_time_int64,
	};

	return sqlite3_vfs_register(&vfs, 1);
}

int sqlite3_os_end(void)
{
	return SQLITE_OK;
}

/* ------------------------------------------------------------- statements */

static void write_row(sqlite3_stmt *statement)
{
	int columns = sqlite3_column_count(statement);

	for (int i = 0; i < columns; i++) {
		const unsigned char *value = sqlite3_column_text(statement, i);
		int room = (int)(sizeof(text) - length);

		sqlite3_snprintf(room, text + length, "%s%c",
				 value ? (const char *)value : "",
				 i + 1 < columns ? '|' : '\n');
		length += (uint32_t)strlen(text + length);
	}
}

/* Runs a statement to its end; its rows are appended to the answer. */
static int run(sqlite3_stmt *statement)
{
	int err;

	while ((err = sqlite3_step(statement)) == SQLITE_ROW)
		write_row(statement);
	sqlite3_reset(statement);
	return err == SQLITE_DONE ? 0 : -1;
}

/* The first three parameters; a statement may have fewer. */
static int run_with(sqlite3_stmt *statement, uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t values[] = { a, b, c };
	int count = sqlite3_bind_parameter_count(statement);

	for (int i = 0; i < 3 && i < count; i++)
		sqlite3_bind_int(statement, i + 1, (int)values[i]);
	return run(statement);
}

static int run_kept(enum statement which, uint32_t a, uint32_t b, uint32_t c)
{
	return run_with(statements[which], a, b, c);
}

/* ---------------------------------------------------------------- content */

static uint32_t draw(struct guest_random *random, uint32_t below)
{
	return (uint32_t)(guest_random_next(random) >> 32) % below;
}

/* A name of two to four syllables, the same for the same number. */
static const char *name_of(uint32_t number)
{
	static const char *const syllables[] = { "ba", "de", "fi", "go",
						 "ku", "la", "me", "ni",
						 "po", "ru", "sa", "ti",
						 "vo", "we", "xi", "zu" };
	static char name[16];
	uint32_t bits = number * 2654435761u;

	name[0] = 0;
	for (uint32_t i = 0; i < 2 + number % 3; i++) {
		strcat(name, syllables[bits >> 28]);
		bits <<= 4;
	}
	name[0] = (char)(name[0] - 'a' + 'A');
	return name;
}

static int insert_named(const char *source, uint32_t id, uint32_t cents,
			uint32_t stock)
{
	sqlite3_stmt *statement;
	int err = sqlite3_prepare_v2(db, source, -1, &statement, NULL);

	if (err)
		return -1;
	sqlite3_bind_text(statement, 4, name_of(id), -1, SQLITE_TRANSIENT);
	err = run_with(statement, id, cents, stock);
	sqlite3_finalize(statement);
	return err;
}

/* Draws stand in statements of their own, because compilers differ in the order
 * of a call's arguments. */
static int load_names(struct guest_random *random)
{
	int err = 0;

	for (uint32_t i = 1; i <= CUSTOMERS && !err; i++) {
		uint32_t number = draw(random, 1000);
		uint32_t city = draw(random, 40);

		err = insert_named("INSERT INTO customers VALUES("
				   "?1, ?4 || ' ' || ?2, 'City ' || ?3)",
				   i, number, city);
	}
	for (uint32_t i = 1; i <= PRODUCTS && !err; i++) {
		uint32_t cents = 100 + draw(random, 20000);
		uint32_t stock = 100 + draw(random, 900);

		err = insert_named("INSERT INTO products VALUES("
				   "?1, ?4 || '-' || ?1, ?2, ?3)",
				   i, cents, stock);
	}
	return err;
}

static int load_orders(struct guest_random *random)
{
	int err = 0;

	for (uint32_t i = 1; i <= ORDERS && !err; i++) {
		uint32_t customer = 1 + draw(random, CUSTOMERS);
		uint32_t day = draw(random, DAYS);

		err = run_kept(ADD_ORDER, i, customer, day);
		for (uint32_t k = 0; k < LINES_OF_ORDER && !err; k++) {
			uint32_t product = 1 + draw(random, PRODUCTS);
			uint32_t quantity = 1 + draw(random, 9);

			err = run_kept(ADD_LINE, i, product, quantity);
		}
	}
	return err;
}

static int prepare(void)
{
	for (int i = 0; i < STATEMENTS; i++) {
		if (sqlite3_prepare_v3(db, sources[i], -1,
				       SQLITE_PREPARE_PERSISTENT,
				       &statements[i], NULL))
			return -1;
	}
	return 0;
}

static int session_begin(void)
{
	events = 0;
	return run_kept(END_EVENTS, 0, 0, 0) || run_kept(END_LINES, 0, 0, 0) ||
	       run_kept(BEGIN_LINES, 0, 0, 0);
}

GUEST(int32_t, start)(void)
{
	struct guest_random random = { 3, 4 };

	if (sqlite3_open_v2(":memory:", &db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, NULL))
		return 1;
	if (sqlite3_exec(db, schema, NULL, NULL, NULL))
		return 2;
	if (prepare())
		return 3;
	if (run_kept(BEGIN, 0, 0, 0) || load_names(&random) ||
	    load_orders(&random) || session_begin() ||
	    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL))
		return 4;
	return 0;
}

/* --------------------------------------------------------------- requests */

static int lookup(struct guest_random *random)
{
	uint32_t customer = 1 + draw(random, CUSTOMERS);

	return run_kept(CUSTOMER, customer, 0, 0) ||
	       run_kept(LAST_ORDERS, customer, 0, 0);
}

static int report(struct guest_random *random)
{
	uint32_t day = draw(random, DAYS - REPORT_DAYS);

	return run_kept(TOP_PRODUCTS, day, day + REPORT_DAYS - 1, 0);
}

static int write_order(struct guest_random *random, uint32_t customer)
{
	int err = run_kept(ADD_ORDER, ORDERS + 1, customer, DAYS);

	for (uint32_t i = 0; i < LINES_OF_ORDER && !err; i++) {
		uint32_t product = 1 + draw(random, PRODUCTS);
		uint32_t quantity = 1 + draw(random, 9);

		err = run_kept(ADD_LINE, ORDERS + 1, product, quantity) ||
		      run_kept(TAKE_STOCK, product, quantity, 0);
	}
	return err || run_kept(PRICE, customer, ORDERS + 1, 0);
}

static int order(struct guest_random *random)
{
	int err = run_kept(BEGIN, 0, 0, 0) ||
		  write_order(random, 1 + draw(random, CUSTOMERS));

	return run_kept(ROLLBACK, 0, 0, 0) || err;
}

GUEST(int32_t, handle)(uint32_t kind, uint32_t seed)
{
	static int (*const kinds[])(struct guest_random *) = {
		[LOOKUP] = lookup,
		[REPORT] = report,
		[ORDER] = order,
	};
	struct guest_random random = { seed, 0x9e3779b97f4a7c15 };

	served++;
	length = 0;
	guest_random_next(&random);
	guest_random_next(&random);
	if (kind >= sizeof(kinds) / sizeof(kinds[0]) || kinds[kind](&random))
		return -1;
	return (int32_t)length;
}

/* --------------------------------------------------------------- sessions */

static int session_event(uint32_t seed)
{
	uint32_t product = 1 + (seed >> 8) % PRODUCTS, line = seed % 24;

	events++;
	return run_kept(BEGIN, 0, 0, 0) ||
	       run_kept(ADD_EVENT, events, product, seed >> 12) ||
	       run_kept(FORGET_EVENT, events, 0, 0) ||
	       run_kept(EDIT_LINE, line, events, 0) ||
	       run_kept(COMMIT, 0, 0, 0) ||
	       run_kept(ANSWER_EVENT, events, (line + 1) % 24, 0);
}

static int session_show(void)
{
	return run_kept(SHOW_EVENTS, 0, 0, 0) || run_kept(SHOW_LINES, 0, 0, 0);
}

GUEST(int32_t, session)(uint32_t kind, uint32_t seed)
{
	int err;

	length = 0;
	err = !kind	? session_event(seed) :
	      kind == 1 ? session_show() :
			  session_begin();
	return err ? -1 : (int32_t)length;
}

GUEST(const char *, answer)(void)
{
	return text;
}

GUEST(uint32_t, served)(void)
{
	return served;
}

/* SQLite keeps a state of its own, which it fills from randomness() the next
 * time that a number is asked for. */
GUEST(void, restored)(uint64_t low, uint64_t high)
{
	guest_random_renew(&state, low, high);
	sqlite3_randomness(0, NULL);
}

GUEST(uint64_t, random)(void)
{
	uint64_t bits;

	sqlite3_randomness(sizeof(bits), &bits);
	return bits;
}
