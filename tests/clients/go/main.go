// go-sdk MAYFLY KERNEL FOLDER: a microVM driven by firecracker-go-sdk, whose
// version is pinned in go.mod and whose code is not ours. Prints TAP.
//
// Environment: MAYFLY_INITRD for a Linux guest; MAYFLY_JAILER for a jailed one as well; MAYFLY_TAP and MAYFLY_VSOCK where
// this mayfly has such devices.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	models "github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/sirupsen/logrus"
)

var failed bool

func check(name string, good bool, why interface{}) {
	if good {
		fmt.Println("ok - go-sdk:", name)
		return
	}
	failed = true
	fmt.Printf("not ok - go-sdk: %s\n#   %v\n", name, why)
}

func ok(name string, err error) { check(name, err == nil, err) }

// A buffer that the SDK's FIFO reader fills from a goroutine of its own.
type lines struct {
	sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) text() string {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.String()
}

func config(kernel, folder string, log *lines) firecracker.Config {
	disk := filepath.Join(folder, "disk")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0600); err != nil {
		panic(err)
	}
	c := firecracker.Config{
		SocketPath:      filepath.Join(folder, "go.sock"),
		LogFifo:         filepath.Join(folder, "log.fifo"),
		LogLevel:        "Info",
		MetricsFifo:     filepath.Join(folder, "metrics.fifo"),
		FifoLogWriter:   log,
		KernelImagePath: kernel,
		InitrdPath:      os.Getenv("MAYFLY_INITRD"),
		KernelArgs:      "console=ttyS0 reboot=k panic=1 acpi=off pci=off mayfly.do=idle",
		MachineCfg: models.MachineConfiguration{
			VcpuCount:  firecracker.Int64(1),
			MemSizeMib: firecracker.Int64(128),
			Smt:        firecracker.Bool(false),
		},
		Drives: []models.Drive{{
			DriveID:      firecracker.String("data"),
			PathOnHost:   &disk,
			IsRootDevice: firecracker.Bool(false),
			IsReadOnly:   firecracker.Bool(false),
		}},
		VMID: "go-sdk-test",
	}
	if tap := os.Getenv("MAYFLY_TAP"); tap != "" {
		c.NetworkInterfaces = firecracker.NetworkInterfaces{{
			StaticConfiguration: &firecracker.StaticNetworkConfiguration{
				HostDevName: tap,
				MacAddress:  "06:00:ac:10:00:02",
			},
		}}
	}
	if os.Getenv("MAYFLY_VSOCK") != "" {
		c.VsockDevices = []firecracker.VsockDevice{{
			ID: "v", Path: filepath.Join(folder, "v.sock"), CID: 3,
		}}
	}
	return c
}

func state(ctx context.Context, m *firecracker.Machine) string {
	info, err := m.DescribeInstanceInfo(ctx)
	if err != nil {
		return err.Error()
	}
	return *info.State
}

func action(ctx context.Context, c *firecracker.Client, what string) error {
	_, err := c.CreateSyncAction(ctx, &models.InstanceActionInfo{ActionType: &what})
	return err
}

func observe(ctx context.Context, m *firecracker.Machine, c firecracker.Config, log *lines) {
	client := firecracker.NewClient(c.SocketPath, logrus.NewEntry(logrus.New()), false)
	fifo, err := os.OpenFile(c.MetricsFifo, os.O_RDWR, 0)
	ok("the metrics' FIFO is there", err)
	ok("FlushMetrics", action(ctx, client, "FlushMetrics"))
	fifo.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(fifo).ReadBytes('\n')
	ok("and a line comes", err)
	check("which is JSON", json.Valid(line), string(line))
	fifo.Close()
	err = action(ctx, client, "InstanceStart")
	check("a second start is refused in words the SDK can read", err != nil &&
		strings.Contains(err.Error(), "not supported after starting the microVM"), err)
	check("the log came through the SDK's FIFO",
		strings.Contains(log.text(), "PUT /actions: 204"), log.text())
}

func change(ctx context.Context, m *firecracker.Machine, c firecracker.Config, folder string) {
	if os.Getenv("MAYFLY_PATCH") != "" {
		other := filepath.Join(folder, "other")
		ok("another disk can be made", os.WriteFile(other, make([]byte, 2<<20), 0600))
		ok("UpdateGuestDrive", m.UpdateGuestDrive(ctx, "data", other))
	}
	if len(c.NetworkInterfaces) > 0 {
		bucket := firecracker.TokenBucketBuilder{}.WithBucketSize(1 << 20).
			WithRefillDuration(100 * time.Millisecond).Build()
		ok("UpdateGuestNetworkInterfaceRateLimit", m.UpdateGuestNetworkInterfaceRateLimit(
			ctx, "1", firecracker.RateLimiterSet{
				InRateLimiter: firecracker.NewRateLimiter(bucket, bucket)}))
	}
}

// What either guest says first.
func guestIsUp(console string) bool {
	for i := 0; i < 900; i++ {
		text, _ := os.ReadFile(console)
		if bytes.Contains(text, []byte("mayfly-init: ")) || bytes.Contains(text, []byte("ticking")) {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

func main() {
	monitor, kernel, folder := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 180*time.Second)
	defer cancel()
	log := &lines{}
	c := config(kernel, folder, log)
	console, err := os.Create(filepath.Join(folder, "console"))
	ok("the console's file", err)
	cmd := exec.Command(monitor, "--api-sock", c.SocketPath, "--id", c.VMID, "--no-seccomp")
	cmd.Stdout, cmd.Stderr = console, console
	quiet := logrus.New()
	quiet.SetLevel(logrus.WarnLevel)

	m, err := firecracker.NewMachine(ctx, c, firecracker.WithProcessRunner(cmd),
		firecracker.WithLogger(logrus.NewEntry(quiet)))
	ok("NewMachine", err)
	if err = m.Start(ctx); err != nil {
		check("Start", false, err)
		os.Exit(1)
	}
	ok("Start: machine, kernel, drives and devices as the SDK sets them", nil)
	version, err := m.GetFirecrackerVersion(ctx)
	check("GetFirecrackerVersion: "+version, err == nil && strings.Count(version, ".") == 2, err)
	check("DescribeInstanceInfo: Running", state(ctx, m) == "Running", state(ctx, m))
	ok("PauseVM", m.PauseVM(ctx))
	check("Paused", state(ctx, m) == "Paused", state(ctx, m))
	ok("ResumeVM", m.ResumeVM(ctx))
	check("Running again", state(ctx, m) == "Running", state(ctx, m))
	observe(ctx, m, c, log)
	change(ctx, m, c, folder)

	check("the guest came up", guestIsUp(console.Name()), "nothing of it on its console")
	ok("Shutdown is taken", m.Shutdown(ctx)) // neither guest has a keyboard driver
	ok("StopVMM", m.StopVMM())
	ended, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	err = m.Wait(ended)
	check("Wait: it ends by SIGTERM", err != nil && strings.Contains(err.Error(), "signal: terminated"), err)
	_, err = os.Stat(c.SocketPath)
	check("and leaves no socket", os.IsNotExist(err), err)
	if jailer := os.Getenv("MAYFLY_JAILER"); jailer != "" {
		jailed(ctx, monitor, jailer, kernel, folder)
	}
	if failed {
		text, _ := os.ReadFile(console.Name())
		fmt.Printf("# console: %q\n", text)
		os.Exit(1)
	}
}
