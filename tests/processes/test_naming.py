"""service.name of programs that nobody named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processes.naming import MAX_NAME, is_spawned_worker, program_name
from agent.processes.proc import ProcessFacts

PYTHON = "/usr/bin/python3.11"
NODE = "/usr/bin/node"
JAVA = "/usr/lib/jvm/java-17/bin/java"
RUBY = "/usr/bin/ruby3.1"


@pytest.mark.parametrize(
    ("exe", "command", "name"),
    [
        (PYTHON, "python3 app.py", "app"),
        (PYTHON, "python3 -u -W ignore -X dev /srv/shop/orders.py --port 80", "orders"),
        (PYTHON, "python3 -m http.server 8000", "http.server"),
        (PYTHON, "python3 -Im http.server", "http.server"),
        (PYTHON, "python3 -mhttp.server", "http.server"),
        (PYTHON, "python3 -Ximporttime app.py", "app"),
        (PYTHON, "python3 /srv/shop/__main__.py", "shop"),
        (PYTHON, "/usr/bin/python3 /usr/bin/gunicorn app:wsgi", "app"),
        (PYTHON, "python3 /venv/bin/gunicorn -w 4 -b localhost:8000 shop.web:app()", "shop.web"),
        (PYTHON, "python3 /venv/bin/gunicorn -b unix:app.sock --workers=2 shop", "shop"),
        (PYTHON, "python3 /venv/bin/gunicorn -k gthread", "gunicorn"),
        (PYTHON, "python3 -m uvicorn --port 80 api.main:app", "api.main"),
        (PYTHON, "python3 /venv/bin/celery -A shop.tasks worker", "shop.tasks"),
        (PYTHON, "python3 /venv/bin/celery --app=shop worker", "shop"),
        (PYTHON, "python3 /venv/bin/streamlit run ui.py", "ui"),
        (PYTHON, "python3 -c pass", "python3.11"),
        (PYTHON, "python3", "python3.11"),
        (PYTHON, "python3 -- -", "python3.11"),
        (NODE, "node server.js", "server"),
        (NODE, "node --require ./tracing.js --inspect /srv/api.mjs", "api"),
        (NODE, "node /srv/shop/dist/index.js", "shop"),
        (NODE, "node index.js", "index"),
        (NODE, "node -e while(1);", "node"),
        (JAVA, "java -jar x.jar", "x"),
        (JAVA, "java -Xmx1g -cp /a:/b -Dk=v -jar /srv/shop-1.2.3-SNAPSHOT.jar --k=v", "shop"),
        (JAVA, "java -cp /a.jar:/b.jar com.acme.Main arg", "Main"),
        (JAVA, "java -p mods -m shop/com.acme.Shop", "Shop"),
        (JAVA, "java @options com.acme.Main", "Main"),
        (JAVA, "java -cp /a Main.java", "Main"),
        (JAVA, "java -version", "java"),
        (RUBY, "ruby puma", "puma"),
        (RUBY, "ruby -W0 /srv/app.rb", "app"),
        ("/usr/bin/php8.2", "php artisan serve", "artisan"),
        ("/usr/bin/php8.2", "php -r sleep(1);", "php8.2"),
        ("/usr/sbin/php-fpm8.2", "php-fpm8.2 -F", "php-fpm"),
        ("/usr/bin/dotnet", "dotnet Shop.Api.dll --urls http://*:80", "Shop.Api"),
        ("/usr/bin/dotnet", "dotnet exec --depsfile a.json Shop.dll", "Shop"),
        ("/usr/bin/dotnet", "dotnet run", "dotnet"),
        ("/usr/bin/bash", "bash deploy.sh", "deploy"),
        ("/usr/bin/bash", "bash /dev/fd/3", "bash"),
        ("/usr/bin/bash", "-bash", "bash"),
        ("/bin/busybox", "httpd -f", "httpd"),
        ("/usr/sbin/haproxy", "haproxy -f /etc/haproxy.cfg", "haproxy"),
        ("/usr/bin/curl", "curl http://user:secret@host/", "curl"),
        ("", "curl http://host/", "curl"),
        ("", "python3 app.py", "app"),
    ],
)
def test_name_of_a_command(exe: str, command: str, name: str) -> None:
    facts = ProcessFacts(1, comm="comm", exe=exe, argv=tuple(command.split(" ")))
    assert program_name(facts) == name


@pytest.mark.parametrize(
    ("exe", "title", "name"),
    [
        ("/usr/sbin/nginx", "nginx: worker process", "nginx"),
        ("/usr/sbin/php-fpm8.2", "php-fpm: pool www", "php-fpm"),
        (PYTHON, "gunicorn: worker [shop]", "shop"),
        (PYTHON, "gunicorn: master [shop.web:app]", "shop.web"),
        (PYTHON, "celeryd: celery@host:MainProcess", "celeryd"),
        (RUBY, "puma 6.4.2 (tcp://0.0.0.0:9292) [shop]", "shop"),
        (RUBY, "puma: cluster worker 0: 12 [shop]", "shop"),
        (RUBY, "sidekiq 7.1 shop [0 of 10 busy]", "sidekiq"),
        (NODE, "node /srv/server.js", "server"),
        (NODE, "npm run start", "npm"),
        (NODE, "next-server (v14.1.0)", "next-server"),
        ("/usr/lib/postgresql/15/bin/postgres", "postgres: ann shop [local] SELECT", "postgres"),
        ("", "nginx: worker process", "nginx"),
    ],
)
def test_name_in_a_title(exe: str, title: str, name: str) -> None:
    assert program_name(ProcessFacts(1, comm="comm", exe=exe, argv=(title,))) == name


def test_kernel_name_is_the_last_resort() -> None:
    assert program_name(ProcessFacts(1, comm="kworker")) == "kworker"
    assert program_name(ProcessFacts(1)) == ""


def test_redis_server_is_no_checker() -> None:
    title = ("redis-server 127.0.0.1:6379", "")
    assert (
        program_name(ProcessFacts(1, exe="/usr/bin/redis-check-rdb", argv=title)) == "redis-server"
    )
    other = ("redis-check-rdb", "dump.rdb")
    assert (
        program_name(ProcessFacts(1, exe="/usr/bin/redis-check-rdb", argv=other))
        == "redis-check-rdb"
    )


def test_secrets_do_not_become_names() -> None:
    argv = ("python3", "postgres://u:hunter2@db/x")
    assert "hunter2" not in program_name(ProcessFacts(1, exe=PYTHON, argv=argv))


def test_multiprocessing_workers() -> None:
    code = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)"
    argv = ("/usr/bin/python3", "-c", code, "--multiprocessing-fork")
    assert is_spawned_worker(ProcessFacts(1, argv=argv))
    assert not is_spawned_worker(ProcessFacts(1, argv=("python3", "app.py")))


@given(
    st.sampled_from([PYTHON, NODE, JAVA, RUBY, "/usr/bin/php", "/usr/bin/dotnet", "/bin/sh", ""]),
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(
                ["-m", "-c", "-jar", "--", "-", "gunicorn", "celery", "-A", "a:b", "exec"]
            ),
        ),
        max_size=8,
    ),
)
def test_any_command_has_a_bounded_name(exe: str, argv: list[str]) -> None:
    assert len(program_name(ProcessFacts(1, exe=exe, comm="x", argv=tuple(argv)))) <= MAX_NAME
