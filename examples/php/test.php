<?php
declare(strict_types=1);

require __DIR__ . '/MemcacheRs.php';

use MemcacheRs\Cache;
use MemcacheRs\Error;
use MemcacheRs\Server;

const SMALL = ['memory_limit' => '8m', 'threads' => 1];

function same(mixed $expected, mixed $found): void
{
    if ($expected !== $found) {
        throw new Exception('expected ' . var_export($expected, true) . ', got ' . var_export($found, true));
    }
}

/** Returns the error that a function throws. */
function failure(callable $function): Error
{
    try {
        $function();
    } catch (Error $error) {
        return $error;
    }
    throw new Exception('threw nothing');
}

function client(Server $server): Memcached
{
    $client = new Memcached();
    $client->addServer($server->host, $server->port);
    return $client;
}

$tests = [
    'a value comes back as it was stored' => static function (): void {
        $cache = Cache::open(SMALL);
        foreach (['', 'Ada', str_repeat("\0\xff", 50_000)] as $value) {
            $cache->set('user', $value);
            same($value, $cache->get('user'));
        }
        same(true, $cache->delete('user'));
        same(false, $cache->delete('user'));
        same(null, $cache->get('user'));
        $cache->set('visits', '41');
        same(42, $cache->incr('visits'));
    },
    'an item expires with the clock of the cache' => static function (): void {
        $cache = Cache::open(SMALL);
        $cache->freezeClock();
        $cache->set('session', 'Ada', ttl: 60);
        $cache->advance(59);
        same('Ada', $cache->get('session'));
        $cache->advance(1);
        same(null, $cache->get('session'));
    },
    'errors say what is wrong' => static function (): void {
        $cache = Cache::open(SMALL);
        $long = failure(static fn () => $cache->set(str_repeat('k', 251), ''));
        same(true, str_contains($long->getMessage(), '250 bytes'));
        same(20, failure(static fn () => $cache->set('large', str_repeat('v', 2 << 20)))->getCode());
        $setting = failure(static fn () => Cache::open(['threads' => 'none']));
        same(true, str_contains($setting->getMessage(), 'threads'));
        $cache->close();
        same(true, str_contains(failure(static fn () => $cache->get('key'))->getMessage(), 'NULL'));
    },
    'a client sees the clock of the server' => static function (): void {
        $server = new Server(SMALL);
        $client = client($server);
        $server->cache->freezeClock();
        $client->set('session', 'Ada', 1800);
        same('Ada', $client->get('session'));
        $server->cache->advance(1800);
        same(false, $client->get('session'));
        same(Memcached::RES_NOTFOUND, $client->getResultCode());
    },
    'a client meets faults' => static function (): void {
        $server = new Server(SMALL);
        $client = client($server);
        $server->cache->set('session', 'Ada');
        same(false, $server->cache->fault('miss', 'get', static fn () => $client->get('session')));
        $stored = $server->cache->fault('error', 'set', static fn () => $client->set('session', 'Bob'), 'out of order');
        same(false, $stored);
        same(true, str_contains($client->getLastErrorMessage(), 'out of order'));
        same('Ada', $client->get('session'));
    },
];

foreach ($tests as $name => $test) {
    $test();
    echo "ok $name\n";
}
echo count($tests), " passed, 0 failed\n";
