package memcachers

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

var small = Settings{"memory_limit": "8m", "threads": "1"}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newCache(t *testing.T) *Cache {
	cache, err := NewCache(small)
	must(t, err)
	t.Cleanup(cache.Close)
	return cache
}

func startServer(t *testing.T) (*Server, *memcache.Client) {
	server, err := StartServer(small)
	must(t, err)
	t.Cleanup(server.Close)
	return server, memcache.New(server.Address)
}

func TestCacheReturnsWhatWasStored(t *testing.T) {
	cache := newCache(t)
	for _, value := range [][]byte{nil, []byte("Ada"), bytes.Repeat([]byte{0, 255}, 50_000)} {
		must(t, cache.Set("user", value, Never))
		found, err := cache.Get("user")
		must(t, err)
		if !bytes.Equal(found, value) {
			t.Fatalf("got %d bytes, not %d", len(found), len(value))
		}
	}
	must(t, cache.Delete("user"))
	if _, err := cache.Get("user"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestItemExpiresWithTheClockOfTheCache(t *testing.T) {
	cache := newCache(t)
	must(t, cache.Freeze())
	must(t, cache.Set("session", []byte("Ada"), time.Minute))
	must(t, cache.Advance(59*time.Second))
	_, err := cache.Get("session")
	must(t, err)
	must(t, cache.Advance(time.Second))
	if _, err := cache.Get("session"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	cache := newCache(t)
	err := cache.Set(strings.Repeat("k", 251), nil, Never)
	if !errors.Is(err, ErrBadKey) || !strings.Contains(err.Error(), "250 bytes") {
		t.Fatal(err)
	}
	if err := cache.Set("large", make([]byte, 2<<20), Never); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if _, err := NewCache(Settings{"threads": "none"}); err == nil || !strings.Contains(err.Error(), "threads") {
		t.Fatal(err)
	}
	closed := newCache(t)
	closed.Close()
	if err := closed.Set("key", nil, Never); err == nil || !strings.Contains(err.Error(), "NULL") {
		t.Fatal(err)
	}
}

func TestGoroutinesGetTheirOwnErrors(t *testing.T) {
	cache := newCache(t)
	must(t, cache.Set("text", []byte("Ada"), Never))
	var all sync.WaitGroup
	for n := 0; n < 8; n++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			for i := 0; i < 1000; i++ {
				key, wanted := "text", "number"
				if n%2 == 0 {
					key, wanted = "", "key"
				}
				if _, err := cache.Incr(key, 1); err == nil || !strings.Contains(err.Error(), wanted) {
					t.Errorf("%q: %v", key, err)
					return
				}
			}
		}(n)
	}
	all.Wait()
}

func TestClientSeesTheClockOfTheServer(t *testing.T) {
	server, client := startServer(t)
	must(t, server.Cache.Freeze())
	must(t, client.Set(&memcache.Item{Key: "session", Value: []byte("Ada"), Expiration: 1800}))
	_, err := client.Get("session")
	must(t, err)
	must(t, server.Cache.Advance(30*time.Minute))
	if _, err := client.Get("session"); err != memcache.ErrCacheMiss {
		t.Fatal(err)
	}
}

func TestClientMeetsFaults(t *testing.T) {
	server, client := startServer(t)
	must(t, server.Cache.Set("session", []byte("Ada"), Never))
	remove, err := server.Cache.Inject(FaultMiss, "gets", "")
	must(t, err)
	if _, err := client.Get("session"); err != memcache.ErrCacheMiss {
		t.Fatal(err)
	}
	must(t, remove())
	remove, err = server.Cache.Inject(FaultError, "set", "out of order")
	must(t, err)
	err = client.Set(&memcache.Item{Key: "session", Value: []byte("Bob")})
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Fatal(err)
	}
	must(t, remove())
	item, err := client.Get("session")
	must(t, err)
	if string(item.Value) != "Ada" {
		t.Fatal(string(item.Value))
	}
}
