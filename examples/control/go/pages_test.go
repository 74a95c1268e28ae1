package pages

import (
	"fmt"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
)

// newSite returns a site whose pages tell how often the site has rendered one.
func newSite(daemon *Daemon) *Site {
	count := 0
	render := func(name string) string {
		count++
		return fmt.Sprintf("%s, render %d", name, count)
	}
	return &Site{Cache: memcache.New(daemon.Address), Render: render}
}

func expect(t *testing.T, site *Site, text string) {
	t.Helper()
	if found := site.Page("home"); found != text {
		t.Fatalf("expected %q, got %q", text, found)
	}
}

func TestAPageIsKeptForAMinute(t *testing.T) {
	daemon := StartDaemon(t)
	daemon.Post("clock/freeze", nil)
	site := newSite(daemon)
	expect(t, site, "home, render 1")
	daemon.Post("clock/advance", map[string]any{"seconds": 59})
	expect(t, site, "home, render 1")
	daemon.Post("clock/advance", map[string]any{"seconds": 1})
	expect(t, site, "home, render 2")
}

func TestAPageIsRenderedIfTheCacheFails(t *testing.T) {
	daemon := StartDaemon(t)
	site := newSite(daemon)
	expect(t, site, "home, render 1")
	for number, kind := range []string{"error", "drop"} {
		daemon.Post("faults", map[string]any{"kind": kind, "command": "gets", "key": "page:*", "times": 1})
		expect(t, site, fmt.Sprintf("home, render %d", number+2))
		expect(t, site, "home, render 1")
	}
}

func TestAnErrorHasACode(t *testing.T) {
	daemon := StartDaemon(t)
	client := memcache.New(daemon.Address)
	daemon.Post("faults", map[string]any{"kind": "error", "message": "out of order"})
	if _, err := client.Get("key"); err == nil || err == memcache.ErrCacheMiss {
		t.Fatal("the client met no fault:", err)
	}
	daemon.Post("reset", nil)
	if _, err := client.Get("key"); err != memcache.ErrCacheMiss {
		t.Fatal("the fault is still there:", err)
	}
}
