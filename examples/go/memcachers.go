// Package memcachers is memcached in the process: a cache, and servers for tests.
//
// Copy this file. It needs libmemcache_rs where pkg-config finds it.
package memcachers

/*
#cgo pkg-config: memcache_rs
#include <stdlib.h>
#include <memcache_rs.h>
*/
import "C"

import (
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"
	"unsafe"
)

// Never is the TTL of an item that does not expire.
const Never time.Duration = 0

// Settings are the names and values that docs/settings.md lists.
type Settings map[string]string

// An Error is the failure of a call. errors.Is compares its Status.
type Error struct {
	Status  int
	Message string
}

// These are the statuses that a program expects. The header lists all.
var (
	ErrNotFound = &Error{Status: C.MCRS_NOT_FOUND}
	ErrTooLarge = &Error{Status: C.MCRS_TOO_LARGE}
	ErrBadKey   = &Error{Status: C.MCRS_BAD_KEY}
)

func (e *Error) Error() string { return e.Message }

// Is reports whether the target has the same status.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && e.Status == other.Status
}

// call runs a function of the library. The message of a failure belongs to the thread, and without
// the lock a goroutine may move to another thread before it reads the message.
func call(function func() C.mcrs_status) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if status := function(); status != C.MCRS_OK {
		return &Error{int(status), C.GoString(C.mcrs_error_message())}
	}
	return nil
}

// start returns the address of bytes, which nil has none of.
func start(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		return nil
	}
	return unsafe.Pointer(&b[0])
}

func seconds(ttl time.Duration) (C.uint32_t, error) {
	whole := (ttl + time.Second - 1) / time.Second
	if ttl < 0 || whole > 1<<32-1 {
		return 0, fmt.Errorf("ttl must be from 0 to 100 years, got %v", ttl)
	}
	return C.uint32_t(whole), nil
}

func (s Settings) config() (*C.mcrs_config, error) {
	var config *C.mcrs_config
	if err := call(func() C.mcrs_status { return C.mcrs_config_new(&config) }); err != nil {
		return nil, err
	}
	for name, value := range s {
		n, v := C.CString(name), C.CString(value)
		err := call(func() C.mcrs_status { return C.mcrs_config_set(config, n, v) })
		C.free(unsafe.Pointer(n))
		C.free(unsafe.Pointer(v))
		if err != nil {
			C.mcrs_config_free(config)
			return nil, err
		}
	}
	return config, nil
}

// A Cache is a handle of a cache. Any goroutine may use it until it is closed.
type Cache struct{ handle *C.mcrs_cache }

// NewCache creates a cache that no server serves. The caller closes it.
func NewCache(settings Settings) (*Cache, error) {
	config, err := settings.config()
	if err != nil {
		return nil, err
	}
	defer C.mcrs_config_free(config)
	cache := &Cache{}
	if err := call(func() C.mcrs_status { return C.mcrs_cache_new(config, &cache.handle) }); err != nil {
		return nil, err
	}
	return cache, nil
}

// Close frees the handle. Later calls return an error.
func (c *Cache) Close() {
	C.mcrs_cache_free(c.handle)
	c.handle = nil
}

// Get returns the value of a key, or ErrNotFound.
func (c *Cache) Get(key string) ([]byte, error) {
	k, buffer := []byte(key), make([]byte, 512)
	for {
		var length C.size_t
		err := call(func() C.mcrs_status {
			return C.mcrs_cache_get(c.handle, start(k), C.size_t(len(k)), start(buffer), C.size_t(len(buffer)), &length)
		})
		if err == nil {
			return buffer[:length], nil
		}
		if err.(*Error).Status != C.MCRS_BUFFER_TOO_SMALL {
			return nil, err
		}
		buffer = make([]byte, length)
	}
}

// Set stores a value for a time, which is rounded up to seconds, or Never.
func (c *Cache) Set(key string, value []byte, ttl time.Duration) error {
	k := []byte(key)
	live, err := seconds(ttl)
	if err != nil {
		return err
	}
	return call(func() C.mcrs_status {
		return C.mcrs_cache_set(c.handle, start(k), C.size_t(len(k)), start(value), C.size_t(len(value)), live)
	})
}

// Delete removes an item, or returns ErrNotFound.
func (c *Cache) Delete(key string) error {
	k := []byte(key)
	return call(func() C.mcrs_status { return C.mcrs_cache_delete(c.handle, start(k), C.size_t(len(k))) })
}

// Incr adds to a decimal number, and returns the sum.
func (c *Cache) Incr(key string, delta uint64) (uint64, error) {
	k := []byte(key)
	var sum C.uint64_t
	err := call(func() C.mcrs_status {
		return C.mcrs_cache_incr(c.handle, start(k), C.size_t(len(k)), C.uint64_t(delta), &sum)
	})
	return uint64(sum), err
}

// Freeze stops the cache's clock. Advance still moves it.
func (c *Cache) Freeze() error {
	return call(func() C.mcrs_status { return C.mcrs_clock_freeze(c.handle) })
}

// Advance moves the cache's clock by whole seconds.
func (c *Cache) Advance(by time.Duration) error {
	return call(func() C.mcrs_status { return C.mcrs_clock_advance(c.handle, C.int64_t(by/time.Second)) })
}

// A FaultKind says what happens instead of, or after, a client's command.
type FaultKind uint32

// These are the kinds of faults.
const (
	FaultDrop  FaultKind = C.MCRS_FAULT_DROP
	FaultError FaultKind = C.MCRS_FAULT_ERROR
	FaultMiss  FaultKind = C.MCRS_FAULT_MISS
)

// Inject lets clients meet a fault on a command, as "get", until the result is called.
func (c *Cache) Inject(kind FaultKind, command, text string) (remove func() error, err error) {
	var id C.uint64_t
	var fault C.mcrs_fault
	fault.kind = C.mcrs_fault_kind(kind)
	fault.command, fault.text = C.CString(command), C.CString(text)
	defer C.free(unsafe.Pointer(fault.command))
	defer C.free(unsafe.Pointer(fault.text))
	err = call(func() C.mcrs_status { return C.mcrs_faults_add(c.handle, &fault, &id) })
	return func() error {
		return call(func() C.mcrs_status { return C.mcrs_faults_remove(c.handle, id, nil) })
	}, err
}

// A Server serves a cache of its own at a free port of 127.0.0.1.
type Server struct {
	handle *C.mcrs_server
	// Cache is the server's cache, which Close closes.
	Cache *Cache
	// Address is host:port.
	Address string
}

// StartServer starts a server. The caller closes it.
func StartServer(settings Settings) (*Server, error) {
	config, err := settings.config()
	if err != nil {
		return nil, err
	}
	defer C.mcrs_config_free(config)
	server := &Server{Cache: &Cache{}}
	var address C.mcrs_address
	for _, step := range []func() C.mcrs_status{
		func() C.mcrs_status {
			return C.mcrs_config_listen_tcp(config, nil, 0, C.MCRS_PROTOCOL_AUTO, C.MCRS_TLS_OFF)
		},
		func() C.mcrs_status { return C.mcrs_server_start(config, &server.handle) },
		func() C.mcrs_status { return C.mcrs_server_cache(server.handle, &server.Cache.handle) },
		func() C.mcrs_status { return C.mcrs_server_address(server.handle, 0, &address) },
	} {
		if err := call(step); err != nil {
			server.Close()
			return nil, err
		}
	}
	server.Address = net.JoinHostPort(C.GoString(address.host), strconv.Itoa(int(address.port)))
	return server, nil
}

// Close stops the server and frees it and its cache.
func (s *Server) Close() {
	s.Cache.Close()
	C.mcrs_server_free(s.handle)
	s.handle = nil
}
