// What every Node server of the benchmark serves: the events of oxherd's stock server.

export function serve(io, worker) {
  let count = 0;
  io.on("connection", (socket) => {
    socket.emit("welcome", { id: socket.id, host: "node", worker, generation: 0 });
    socket.on("join", (room, ack) => {
      socket.join(room);
      ack?.({ ok: true, room });
    });
    socket.on("leave", (room, ack) => {
      socket.leave(room);
      ack?.({ ok: true, room });
    });
    socket.on("message", ({ room, data }, ack) => {
      // As long as oxherd's ids, so that all servers send messages of one size.
      const id = `0000000000000000-${worker}-${count++}`;
      io.to(room).emit("message", { id, room, from: socket.id, at: Date.now(), data });
      ack?.({ ok: true, id });
    });
  });
}
