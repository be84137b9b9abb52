// node client.mjs BROKERS GROUP
//
// A NestJS ClientKafka behind a line protocol: {"id":1,"op":"send","pattern":...,"data":...} is
// answered with {"id":1,"values":[...],"error":...,"completed":...}. Every join of the client group is
// announced by {"joined":{...}}.
import 'reflect-metadata';
import { Logger } from '@nestjs/common';
import { ClientKafka } from '@nestjs/microservices';
import { lastValueFrom, timeout, TimeoutError } from 'rxjs';

import { printLine, readLines, stderrLogger } from './lines.mjs';
import { kafkaOptions } from './options.mjs';

Logger.overrideLogger(stderrLogger);

class AnnouncingClient extends ClientKafka {
  setConsumerAssignments(data) {
    super.setConsumerAssignments(data);
    const { isLeader, memberId, memberAssignment } = data.payload;
    printLine({ joined: { isLeader, memberId, memberAssignment } });
  }
}

const [brokers, groupId] = process.argv.slice(2);
const client = new AnnouncingClient(kafkaOptions(brokers, groupId));

function plainError(error) {
  return error instanceof Error ? { name: error.name, message: error.message } : error;
}

function collect(observable, milliseconds) {
  return new Promise((resolve) => {
    const values = [];
    observable.pipe(timeout(milliseconds)).subscribe({
      next: (value) => values.push(value),
      complete: () => resolve({ values, completed: true }),
      error: (error) =>
        resolve(
          error instanceof TimeoutError
            ? { values, timedOut: true, completed: false }
            : { values, error: plainError(error), completed: false },
        ),
    });
  });
}

const operations = {
  connect: async ({ subscribeToResponseOf = [] }) => {
    subscribeToResponseOf.forEach((pattern) => client.subscribeToResponseOf(pattern));
    await client.connect();
    return { assignments: client.getConsumerAssignments() };
  },
  send: ({ pattern, data, timeout: milliseconds = 10000 }) =>
    collect(client.send(pattern, data), milliseconds),
  emit: async ({ pattern, data }) => ({ records: await lastValueFrom(client.emit(pattern, data)) }),
  emitBatch: async ({ pattern, messages }) => ({
    records: await lastValueFrom(client.emitBatch(pattern, { messages })),
  }),
  assignments: async () => ({ assignments: client.getConsumerAssignments() }),
  close: async () => {
    await client.close();
    return {};
  },
};

async function perform({ id, op, ...request }) {
  try {
    printLine({ id, ...(await operations[op](request)) });
  } catch (error) {
    printLine({ id, failure: plainError(error) });
  }
}

let closing;
function close() {
  closing ??= client.close().then(() => process.exit(0));
}
readLines(perform, close);
process.on('SIGTERM', close);
printLine({ ready: true });
