<?php
declare(strict_types=1);

require __DIR__ . '/Daemon.php';
require __DIR__ . '/Sessions.php';

function same(mixed $expected, mixed $found): void
{
    if ($expected !== $found) {
        throw new Exception('expected ' . var_export($expected, true) . ', got ' . var_export($found, true));
    }
}

$tests = [
    'a session ends after half an hour' => static function (Daemon $daemon): void {
        $sessions = new Sessions($daemon->client());
        $daemon->post('clock/freeze');
        $sessions->begin('1', 'Ada');
        $daemon->post('clock/advance', ['seconds' => 1799]);
        same('Ada', $sessions->user('1'));
        $daemon->post('clock/advance', ['seconds' => 1]);
        same(null, $sessions->user('1'));
    },
    'a cache that fails logs no user out' => static function (Daemon $daemon): void {
        $sessions = new Sessions($daemon->client());
        $sessions->begin('1', 'Ada');
        foreach (['error', 'drop'] as $kind) {
            $daemon->post('faults', ['kind' => $kind, 'key' => 'session:*', 'times' => 1]);
            try {
                $user = $sessions->user('1');
            } catch (RuntimeException) {
                $user = 'failed';
            }
            same('failed', $user);
            // A client that lost its connection makes a new one for the next request.
            same('Ada', (new Sessions($daemon->client()))->user('1'));
        }
    },
    'an evicted session has ended' => static function (Daemon $daemon): void {
        $sessions = new Sessions($daemon->client());
        $sessions->begin('1', 'Ada');
        $daemon->post('faults', ['kind' => 'miss']);
        same(null, $sessions->user('1'));
        $daemon->post('reset');
    },
];

$daemon = new Daemon();
foreach ($tests as $name => $test) {
    $daemon->post('reset');
    $test($daemon);
    echo "ok: $name\n";
}
