// One message handler for every outcome that a NestJS handler can have.
import { HttpException } from '@nestjs/common';
import { KafkaRetriableException, RpcException } from '@nestjs/microservices';
import { concat, EMPTY, from, ignoreElements, interval, of, take, throwError, timer } from 'rxjs';

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function fail(exception) {
  return () => {
    throw exception;
  };
}

async function* count() {
  yield 1;
  yield 2;
  yield 3;
}

// The payload of a Kafka null is the whole raw message object in Nest: said as `wholeMessage`.
export function describe(payload, context) {
  const message = context.getMessage();
  const wholeMessage = payload === message;
  return {
    payload: wholeMessage ? null : payload,
    wholeMessage,
    binary: Buffer.isBuffer(payload),
    messageKey: message.key,
    headers: message.headers,
  };
}

const triedOnce = new Set();

function failOnFirstDelivery(payload) {
  if (triedOnce.has(payload)) {
    return `again ${payload}`;
  }
  triedOnce.add(payload);
  throw new KafkaRetriableException('again');
}

export const messageRows = {
  undefined: () => undefined,
  null: () => null,
  text: () => 'text',
  'empty-text': () => '',
  'text-like-json': () => '{"looks":"like json"}',
  number: () => 5,
  'float-number': () => 2.5,
  boolean: () => false,
  object: () => ({ answer: 42, nested: { list: [1, null, 'ä😀'] } }),
  array: () => [1, 'two', { three: 3 }],
  'empty-array': () => [],
  buffer: () => Buffer.from('plain bytes'),
  'binary-buffer': () => Buffer.from([0, 1, 2, 255]),
  envelope: () => ({
    key: 'realm-key',
    value: { inside: true },
    headers: { realm: 'Nest', raw: Buffer.from([0, 7]) },
  }),
  'envelope-object-key': () => ({ key: { id: 1 }, value: 'with object key' }),
  'envelope-null-value': () => ({ key: 'lonely', value: null }),
  'envelope-and-more': () => ({ value: 'kept', lost: true }),
  'key-and-more': () => ({ key: 'kept', lost: true }),
  promise: async () => 'promised',
  'promise-of-observable': async () => of('a', 'b'),
  of: () => of(1, 2, 3),
  interval: () => interval(20).pipe(take(3)),
  generator: () => from(count()),
  'late-completion': () => concat(of(1, 2), timer(300).pipe(ignoreElements())),
  'mixed-stream': () => of({ n: 1 }, null, 'three', [4]),
  empty: () => EMPTY,
  'rpc-text': fail(new RpcException('boom')),
  'rpc-object': fail(new RpcException({ code: 4, message: 'm' })),
  'rpc-array': fail(new RpcException([1, 2])),
  'rpc-number': fail(new RpcException(5)),
  'rpc-empty-text': fail(new RpcException('')),
  'rpc-undefined': fail(new RpcException(undefined)),
  'rpc-non-ascii': fail(new RpcException('größer 😀')),
  'rpc-error-object': fail(new RpcException(new Error('x'))),
  'throw-error': fail(new Error('secret')),
  'throw-text': fail('secret'),
  'throw-http': fail(new HttpException('secret', 418)),
  'values-then-rpc': () => concat(of(1, 2), throwError(() => new RpcException('late'))),
  'values-then-error': () => concat(of(1, 2), throwError(() => new Error('secret'))),
  'retriable-first': failOnFirstDelivery,
  'retriable-after-value': () =>
    concat(of(1), throwError(() => new KafkaRetriableException('again'))),
  guard: () => 'never reached',
  'filter-text': fail(new Error('filtered')),
  'filter-falsy': fail(new Error('filtered')),
  'filter-number': fail(new Error('filtered')),
  'filter-error': fail(new Error('filtered')),
  'no-handler': () => 'never reached',
  echo: describe,
  identity: (payload) => payload,
  slow: async (payload) => {
    await sleep(payload.milliseconds);
    return payload;
  },
  shared: (payload, context) => ({
    by: 'nest',
    partition: context.getPartition(),
    payload,
  }),
};

const filterOutcomes = {
  'filter-text': 'raw',
  'filter-falsy': '',
  'filter-number': 5,
  'filter-error': new Error('x'),
};

export const rowFilters = Object.fromEntries(
  Object.entries(filterOutcomes).map(([row, outcome]) => [
    row,
    { catch: () => throwError(() => outcome) },
  ]),
);

export const rowGuards = { guard: { canActivate: () => false } };

// Registered as a subscription, then forgotten: a topic that is read but has no handler.
export const forgottenRows = ['no-handler'];

export const eventRows = {
  event: [() => undefined],
  'event-twice': [() => undefined, () => undefined],
};
