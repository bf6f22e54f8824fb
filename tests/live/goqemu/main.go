// A client that uses go-qemu as its users do: connect, ask, pass a file, listen to events.
//
// usage: goqemu SOCKET FILE
//
// A line for each step that went well; the first that does not ends it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

const patience = 10 * time.Second

func check(step string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", step, err)
		os.Exit(1)
	}
}

func run(monitor *qmp.SocketMonitor, command string, file *os.File) []byte {
	reply, err := monitor.RunWithFile([]byte(command), file)
	check(command, err)
	return reply
}

func await(events <-chan qmp.Event, name string) {
	late := time.After(patience)
	for {
		select {
		case event := <-events:
			if event.Event == name {
				fmt.Println("event", name)
				return
			}
		case <-late:
			check(name, fmt.Errorf("the event did not come"))
		}
	}
}

func main() {
	time.AfterFunc(2*patience, func() { check("all", fmt.Errorf("took too long")) })

	monitor, err := qmp.NewSocketMonitor("unix", os.Args[1], patience)
	check("socket", err)
	check("connect", monitor.Connect())
	fmt.Println("connected", monitor.Version.String(), monitor.Capabilities)

	var status struct {
		Return struct{ Status string }
	}
	check("status", json.Unmarshal(run(monitor, `{"execute":"query-status"}`, nil), &status))
	fmt.Println("status", status.Return.Status)

	_, err = monitor.Run([]byte(`{"execute":"no-such-command"}`))
	fmt.Println("error", err)

	file, err := os.Open(os.Args[2])
	check("file", err)
	run(monitor, `{"execute":"getfd","arguments":{"fdname":"from-go"}}`, file)
	run(monitor, `{"execute":"closefd","arguments":{"fdname":"from-go"}}`, nil)
	fmt.Println("fd passed")

	events, err := monitor.Events(context.Background())
	check("events", err)
	// its replies and events come out of one goroutine: whoever runs a command must listen meanwhile
	for _, pair := range [][2]string{{"cont", "RESUME"}, {"stop", "STOP"}} {
		done := make(chan bool)
		go func() {
			await(events, pair[1])
			done <- true
		}()
		run(monitor, fmt.Sprintf(`{"execute":"%s"}`, pair[0]), nil)
		<-done
	}
	check("disconnect", monitor.Disconnect())
	fmt.Println("disconnected")
}
