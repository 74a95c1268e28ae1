<?php
declare(strict_types=1);

/** A memcached for tests. Its clock and its faults are in the test's hands. */
final class Daemon
{
    public readonly int $port;
    private readonly int $control;
    /** @var resource */
    private $process;

    public function __construct()
    {
        $ports = tempnam(sys_get_temp_dir(), 'ports');
        unlink($ports);
        $program = getenv('MEMCACHED_RS') ?: 'memcached-rs';
        $command = [$program, '-l', '127.0.0.1', '-p', '-1', '--control', '0'];
        $environment = ['MEMCACHED_PORT_FILENAME' => $ports] + getenv();
        $this->process = proc_open($command, [], $pipes, null, $environment);
        // The daemon renames the file into its place, so it is complete.
        for ($end = microtime(true) + 10; !file_exists($ports); usleep(5000)) {
            if (microtime(true) > $end) {
                throw new Exception('the daemon did not start');
            }
        }
        preg_match('/TCP INET: (\d+)\nCONTROL INET: (\d+)/', file_get_contents($ports), $found);
        unlink($ports);
        [$this->port, $this->control] = [(int) $found[1], (int) $found[2]];
    }

    public function __destruct()
    {
        proc_terminate($this->process);
        proc_close($this->process);
    }

    /** Sends a request to the control service, and returns its answer, which must be a success. */
    public function post(string $path, array $arguments = []): array
    {
        $context = stream_context_create(['http' => [
            'method' => 'POST',
            'header' => 'Content-Type: application/json',
            'content' => json_encode((object) $arguments),
            'ignore_errors' => true,
        ]]);
        $answer = json_decode(file_get_contents("http://127.0.0.1:{$this->control}/v1/$path", false, $context), true);
        if (isset($answer['code'])) {
            throw new Exception("$path: {$answer['code']}: {$answer['message']}");
        }
        return $answer;
    }

    public function client(): Memcached
    {
        $client = new Memcached();
        $client->addServer('127.0.0.1', $this->port);
        return $client;
    }
}
