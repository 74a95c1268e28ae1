package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Daemon is a memcached for one test. Its clock and its faults are in the test's hands.
type Daemon struct {
	Address string
	control string
	t       *testing.T
}

// StartDaemon starts a daemon on free ports. The test ends it.
func StartDaemon(t *testing.T) *Daemon {
	program := os.Getenv("MEMCACHED_RS")
	if program == "" {
		program = "memcached-rs"
	}
	ports := filepath.Join(t.TempDir(), "ports")
	command := exec.Command(program, "-l", "127.0.0.1", "-p", "-1", "--control", "0")
	command.Env = append(os.Environ(), "MEMCACHED_PORT_FILENAME="+ports)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	})
	// The daemon renames the file into its place, so it is complete.
	var text []byte
	for end := time.Now().Add(10 * time.Second); text == nil; time.Sleep(5 * time.Millisecond) {
		text, _ = os.ReadFile(ports)
		if time.Now().After(end) {
			t.Fatal("the daemon did not start")
		}
	}
	port := func(name string) string {
		found := regexp.MustCompile(name + ` INET: (\d+)`).FindSubmatch(text)
		return "127.0.0.1:" + string(found[1])
	}
	return &Daemon{Address: port("TCP"), control: "http://" + port("CONTROL") + "/v1/", t: t}
}

// Post sends a request to the control service. Its answer must be a success.
func (daemon *Daemon) Post(path string, arguments map[string]any) map[string]any {
	daemon.t.Helper()
	if arguments == nil {
		arguments = map[string]any{}
	}
	body, err := json.Marshal(arguments)
	if err != nil {
		daemon.t.Fatal(err)
	}
	response, err := http.Post(daemon.control+path, "application/json", bytes.NewReader(body))
	if err != nil {
		daemon.t.Fatal(err)
	}
	defer response.Body.Close()
	answer := map[string]any{}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode >= 300 {
		daemon.t.Fatal(path, response.Status, fmt.Sprint(answer), err)
	}
	return answer
}
