"""Compiling the project's C++ sources: once per machine, and a reason where it cannot be done."""

import os
import shutil
import stat
from concurrent.futures import Future
from threading import Event

import pytest

from vrtspike.native import build as compiling
from vrtspike.native.build import CannotCompile, Kernel, compile_in_background, library

HAS_COMPILER = shutil.which('g++') is not None
needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason='needs g++')


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.delenv('CXX', raising=False)
    compiling._started.clear()
    library.cache_clear()
    yield
    library.cache_clear()
    compiling._started.clear()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'seven.cpp'
    path.write_text('extern "C" int answer() { return 7; }\n')
    return path


@needs_compiler
def test_a_source_that_compiles_in_the_background_is_waited_for(source, monkeypatch):
    may_compile, calls = Event(), []
    compile_now = compiling._compile

    def compile_later(compiler, path, out):
        calls.append(path)
        may_compile.wait(60)
        compile_now(compiler, path, out)

    monkeypatch.setattr(compiling, '_compile', compile_later)
    compile_in_background([Kernel(source), Kernel(source)])
    compile_in_background([Kernel(source)])
    may_compile.set()
    assert library(source).answer() == 7
    assert calls == [source]


def test_an_error_in_the_background_is_told_where_the_library_is_needed(source, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    compile_in_background([Kernel(source)])
    with pytest.raises(CannotCompile, match="there is no 'no-such-compiler'"):
        library(source)


def test_whatever_fails_in_the_background_is_raised_in_place_of_waiting_for_ever(source, monkeypatch):
    def broken(source, compiler):
        raise UnicodeDecodeError('utf-8', b'', 0, 1, 'planted')

    monkeypatch.setattr(compiling, '_fingerprint', broken)
    compile_in_background([Kernel(source)])
    assert isinstance(compiling._started[Kernel(source)].exception(timeout=60), UnicodeDecodeError)
    with pytest.raises(UnicodeDecodeError):
        library(source)


def test_a_forked_process_compiles_by_itself(source, monkeypatch):
    monkeypatch.setitem(compiling._started, Kernel(source), Future())  # its thread stays in the parent
    child = os.fork()
    if not child:
        os._exit(0 if compiling._started == {} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_compiler
def test_macros_make_another_library(tmp_path):
    source = tmp_path / 'width.cpp'
    source.write_text('extern "C" int width() { return WIDTH; }\n')
    compile_in_background([Kernel(source, ('WIDTH=3',))])
    assert [library(source, f'WIDTH={width}').width() for width in (3, 4)] == [3, 4]
    with pytest.raises(CannotCompile, match='could not be compiled'):
        library(source)


@needs_compiler
def test_a_source_is_compiled_once(source, monkeypatch):
    assert library(source).answer() == 7
    (path,) = compiling.cache_folder().iterdir()
    made = path.stat().st_mtime_ns
    library.cache_clear()
    assert library(source).answer() == 7
    assert path.stat().st_mtime_ns == made


@needs_compiler
@pytest.mark.parametrize('change', ['source', 'header', 'processor', 'flags'])
def test_what_could_differ_is_compiled_anew(source, change, monkeypatch):
    library(source)
    library.cache_clear()
    if change == 'source':
        source.write_text(source.read_text().replace('7', '8'))
    elif change == 'header':
        (source.parent / 'seven.h').write_text('// new')
    elif change == 'processor':
        monkeypatch.setattr(compiling, '_processor', lambda: 'another')
    else:
        monkeypatch.setattr(compiling, 'FLAGS', (*compiling.FLAGS, '-DX'))
    library(source)
    assert len(list(compiling.cache_folder().iterdir())) == 2


@needs_compiler
def test_a_source_with_an_error_says_what_the_compiler_said(source):
    source.write_text('extern "C" int answer() { return x; }\n')
    with pytest.raises(CannotCompile, match=r"could not be compiled: 'g\+\+' said .*answer"):
        library(source)
    assert not list(compiling.cache_folder().iterdir())


@needs_compiler
def test_a_library_that_cannot_be_loaded_is_a_reason(source):
    source.write_text('extern "C" int nowhere(); extern "C" int answer() { return nowhere(); }\n')
    with pytest.raises(CannotCompile, match=r'could not be compiled or loaded: .*nowhere'):
        library(source)


def test_without_a_compiler_the_reason_says_what_to_do(source, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(CannotCompile, match="there is no 'no-such-compiler'; install one, or name it in"):
        library(source)


def test_a_folder_that_cannot_be_written_is_a_reason(source, tmp_path, monkeypatch):
    compiler = tmp_path / 'compiler'
    compiler.write_text('#!/bin/sh\necho 1\n')
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('CXX', str(compiler))
    (tmp_path / 'cache').write_text('a file, not a folder')
    with pytest.raises(CannotCompile, match='could not be compiled or loaded'):
        library(source)


def test_other_systems_are_named(source, monkeypatch):
    monkeypatch.setattr(compiling.platform, 'system', lambda: 'Darwin')
    with pytest.raises(CannotCompile, match='compiles on Linux only, not on Darwin'):
        library(source)
