"""What drivers for MySQL do: PyMySQL, mysqlclient (MySQLdb, which stands on the C connector), and mysql-connector-python for prepared statements.

Prints one line of JSON: how many statements ran to their end, and how many failed on purpose.
"""

from __future__ import annotations

import argparse
import contextlib
import json

import mysql.connector
import MySQLdb
import MySQLdb.cursors
import pymysql
from pymysql.constants import CLIENT


def with_pymysql(port: int, password: str, table: str) -> dict[str, int]:
    """Text, several in one, several results, transactions, a file of the client, long values, errors."""
    connection = pymysql.connect(
        host="127.0.0.1",
        port=port,
        user="app",
        password=password,
        database="bench",
        autocommit=True,
        local_infile=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
        ssl_disabled=True,
    )
    failed = 0
    with connection.cursor() as cursor:
        for number in range(7):
            cursor.execute("SELECT id, name FROM users WHERE id = %s", (number,))
            cursor.fetchall()
        cursor.execute("UPDATE users SET name = 'hunter2-in-a-literal' WHERE id = 1")
        cursor.executemany("INSERT INTO events (what) VALUES (%s)", [("hunter2",)] * 3)
        cursor.execute("SELECT 1; SELECT 2, 3; DO 4")
        while cursor.nextset():
            pass
        cursor.execute(f"LOAD DATA LOCAL INFILE '{table}' INTO TABLE events (what)")
        cursor.execute("SELECT what, what FROM events")
        cursor.fetchall()
        cursor.execute("SELECT %s", ("x" * 20000,))
        connection.begin()
        cursor.execute("DELETE FROM events WHERE id = 1")
        connection.commit()
        connection.select_db("bench")
        connection.ping()
        for statement in ("SELECT nothing FROM nowhere WHERE p = 'hunter2'", "SELEC 'hunter2'"):
            try:
                cursor.execute(statement)
            except pymysql.Error:
                failed += 1
    connection.close()
    return {"failed": failed}


def with_mysqlclient(port: int, password: str) -> dict[str, int]:
    """Text, rows as they are asked for, a transaction, an error."""
    connection = MySQLdb.connect(
        host="127.0.0.1",
        port=port,
        user="app",
        password=password,
        database="bench",
        cursorclass=MySQLdb.cursors.SSCursor,
    )
    failed = 0
    with contextlib.closing(connection.cursor()) as cursor:
        for number in range(5):
            cursor.execute("SELECT id, name FROM users WHERE id < %s", (number,))
            cursor.fetchall()
        cursor.executemany("INSERT INTO events (what) VALUES (%s)", [("hunter2",)] * 3)
        connection.commit()
        try:
            cursor.execute("SELECT nothing FROM nowhere WHERE p = 'hunter2'")
        except MySQLdb.Error:
            failed += 1
    connection.close()
    return {"failed": failed}


def with_connector(port: int, password: str) -> dict[str, int]:
    """Prepared statements: of the connection, and with a long value."""
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=port,
        user="app",
        password=password,
        database="bench",
        use_pure=True,
        ssl_disabled=True,
    )
    with connection.cursor(prepared=True) as cursor:
        for number in range(5):
            cursor.execute("SELECT name FROM users WHERE id = %s", (number,))
            cursor.fetchall()
        cursor.execute("INSERT INTO events (what) VALUES (%s)", ("hunter2" * 3000,))
    connection.commit()
    connection.close()
    return {"failed": 0}


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--table", required=True, help="a file with lines")
    arguments = parser.parse_args()
    told = {
        "pymysql": with_pymysql(arguments.port, arguments.password, arguments.table),
        "mysqlclient": with_mysqlclient(arguments.port, arguments.password),
        "connector": with_connector(arguments.port, arguments.password),
    }
    print(json.dumps(told))  # the result


if __name__ == "__main__":
    main()
