<?php
// The PHP extension memcached, in the text protocol or the binary one, with a name or without.
$count = 0;
function check(string $what, bool $good): void
{
    global $count, $client;
    if (in_array($what, explode(';', getenv('LEFT_OUT') ?: ''))) {
        return;
    }
    $count++;
    if (!$good) {
        echo "$what: ", $client->getResultMessage(), "\n";
        exit(1);
    }
}

function connect(string $password): Memcached
{
    global $argv;
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, $argv[3] !== 'text');
    $client->setOption(Memcached::OPT_TCP_NODELAY, true);
    $client->setOption(Memcached::OPT_COMPRESSION, false);
    if ($argv[3] === 'sasl') {
        $client->setSaslAuthData($argv[4], $password);
    }
    $client->addServer($argv[1], (int) $argv[2]);
    return $client;
}

if ($argv[3] === 'sasl') {
    $client = connect('not ' . $argv[5]);
    check('a wrong password is refused', $client->set('a', 'x') === false);
}
$client = connect($argv[5] ?? '');

check('version', str_starts_with(current($client->getVersion()), '1.6.'));
check('set', $client->set('a', 'one'));
check('get', $client->get('a') === 'one');
check('get of nothing', $client->get('nothing') === false && $client->getResultCode() === Memcached::RES_NOTFOUND);
check('an array', $client->set('o', ['x' => [1, 2.5]]) && $client->get('o') === ['x' => [1, 2.5]]);
check('set many', $client->setMulti(['m1' => '1', 'm2' => '2']));
check('get many', $client->getMulti(['m1', 'none', 'm2']) === ['m1' => '1', 'm2' => '2']);
$there = $argv[3] === 'text' ? Memcached::RES_NOTSTORED : Memcached::RES_DATA_EXISTS;
check('add', $client->add('a', 'x') === false && $client->getResultCode() === $there);
check('replace', $client->replace('a', 'two'));
check('append', $client->append('a', '-end'));
check('prepend', $client->prepend('a', 'start-'));
$item = $client->get('a', null, Memcached::GET_EXTENDED);
check('get with cas', $item['value'] === 'start-two-end' && $item['cas'] > 0);
check('cas', $client->cas($item['cas'], 'a', 'three'));
check('an old cas', $client->cas($item['cas'], 'a', 'four') === false
    && $client->getResultCode() === Memcached::RES_DATA_EXISTS);
$client->set('n', 10);
check('incr', $client->increment('n', 5) === 15);
check('decr', $client->decrement('n', 20) === 0);
check('incr of nothing', $client->increment('nothing', 1) === false);
check('touch', $client->touch('a', 100));
check('set with a time', $client->set('short', 'x', 1));
for ($try = 0; $try < 50 && $client->get('short') !== false; $try++) {
    usleep(100000);
}
check('it expires', $client->get('short') === false);
check('delete', $client->delete('a'));
check('delete of nothing', $client->delete('a') === false);
$large = str_repeat('0123456789abcdef', 32768);
check('large set', $client->set('large', $large));
check('large get', $client->get('large') === $large);
check('stats', current($client->getStats())['pid'] > 0);
check('flush', $client->flush());
check('get after flush', $client->getMulti(['m1', 'm2', 'large']) === []);
echo "$count checks\n";
