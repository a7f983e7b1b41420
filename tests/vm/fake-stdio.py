"""The program of a function that is no server, as tests/vm/fake-monitor has it: what
it does is said by its environment, and it does it well or as badly as one can."""
import hashlib, os, time


def run(env, memory, read, write):
    """read() is stdin's next bytes, b'' at its end; write(stream, bytes). Its status."""
    what, query = env.get('PATH_INFO', '/')[1:], env.get('QUERY_STRING', '')
    memory['count'] = memory.get('count', 0) + 1
    if what == 'count':
        write(1, b'%d\n' % memory['count'])
    elif what == 'env':
        write(1, ''.join(f'{k}={v}\n' for k, v in sorted(env.items())).encode('utf-8', 'surrogateescape'))
    elif what == 'sum':
        sum = hashlib.sha256()
        while data := read():
            sum.update(data)
        write(1, sum.hexdigest().encode() + b'\n')
    elif what == 'cat':
        while data := read():
            write(1, data)
    elif what == 'big':
        for _ in range(int(query)):
            write(1, b'x' * 65536)
    elif what == 'exit':
        write(1, b'not for anybody\n')
        return int(query)
    elif what == 'big-exit':
        write(1, b'x' * 300000)
        return 3
    elif what == 'drip':
        write(1, b'one\n')
        time.sleep(float(query))
        write(1, b'two\n')
    elif what == 'say':
        write(2, b'a word \x1b[31mof mine\nand half a')
        write(1, b'said\n')
    elif what == 'flood':
        for _ in range(200):
            write(2, b'flood\n' * 10000)
        write(1, b'flooded\n')
    elif what == 'never':
        time.sleep(1000)
    elif what == 'die':
        os._exit(1)
    return 0
