package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	firecracker "github.com/firecracker-microvm/firecracker-go-sdk"
	models "github.com/firecracker-microvm/firecracker-go-sdk/client/models"
	"github.com/sirupsen/logrus"
)

// The SDK's jailer path as it is: it calls the jailer with its own flags, links
// kernel and disk into the jail, and finds the socket there.
func jailed(ctx context.Context, monitor, jailer, kernel, folder string) {
	const uid = 12345
	// Links need all of it on one file system, and a name in the jail.
	text, err := os.ReadFile(kernel)
	ok("jailed: the kernel is read", err)
	kernel = filepath.Join(folder, "jail-kernel")
	disk := filepath.Join(folder, "jail-disk")
	ok("jailed: and copied", os.WriteFile(kernel, text, 0644))
	ok("jailed: a disk", os.WriteFile(disk, make([]byte, 1<<20), 0666))
	ok("jailed: which the jail's user may write", os.Chmod(disk, 0666))
	// No such node: else the SDK asks for cgroups, which are not ours here.
	const node = 99
	console, err := os.Create(filepath.Join(folder, "jail-console"))
	ok("jailed: the console's file", err)
	base := filepath.Join(folder, "jails")
	ok("jailed: a folder for jails", os.Mkdir(base, 0755))
	c := firecracker.Config{
		SocketPath:      "/run/api.socket",
		KernelImagePath: kernel,
		KernelArgs:      "console=ttyS0 reboot=k panic=1 acpi=off pci=off",
		MachineCfg: models.MachineConfiguration{
			VcpuCount:  firecracker.Int64(1),
			MemSizeMib: firecracker.Int64(64),
		},
		Drives: firecracker.NewDrivesBuilder(disk).Build(),
		JailerCfg: &firecracker.JailerConfig{
			UID:            firecracker.Int(uid),
			GID:            firecracker.Int(uid),
			ID:             "go-sdk-jail",
			NumaNode:       firecracker.Int(node),
			ExecFile:       monitor,
			JailerBinary:   jailer,
			ChrootBaseDir:  base,
			ChrootStrategy: firecracker.NewNaiveChrootStrategy(kernel),
			CgroupVersion:  "2",
			Stdout:         console,
			Stderr:         console,
		},
		VMID: "go-sdk-jail",
	}
	quiet := logrus.New()
	quiet.SetLevel(logrus.WarnLevel)
	m, err := firecracker.NewMachine(ctx, c, firecracker.WithLogger(logrus.NewEntry(quiet)))
	ok("jailed: NewMachine", err)
	if err = m.Start(ctx); err != nil {
		said, _ := os.ReadFile(console.Name())
		check("jailed: Start", false, string(said)+err.Error())
		return
	}
	ok("jailed: Start, by mayfly-jailer with the SDK's own flags", nil)
	check("jailed: Running", state(ctx, m) == "Running", state(ctx, m))
	pid, err := m.PID()
	ok("jailed: PID", err)
	status, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	ok("jailed: the monitor runs", err)
	check("jailed: as the jail's user", err == nil && status.Sys().(*syscall.Stat_t).Uid == uid, pid)
	ok("jailed: StopVMM", m.StopVMM())
	ended, stop := context.WithTimeout(ctx, 60*time.Second)
	defer stop()
	err = m.Wait(ended)
	check("jailed: Wait: it ends by SIGTERM", err != nil && strings.Contains(err.Error(), "signal: terminated"), err)
}
