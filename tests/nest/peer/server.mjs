// node server.mjs BROKERS GROUP PREFIX [ROW,ROW...]
//
// A NestJS microservice whose patterns are PREFIX + row name. Prints {"ready":true,"patterns":[...]}
// when it has joined its group, and one line for each event that a handler was given.
import 'reflect-metadata';
import { Controller, Module, UseFilters, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, MessagePattern, Payload, ServerKafka } from '@nestjs/microservices';

import { printLine, readLines, stderrLogger } from './lines.mjs';
import { kafkaOptions } from './options.mjs';
import { describe, eventRows, forgottenRows, messageRows, rowFilters, rowGuards } from './rows.mjs';

const [brokers, groupId, prefix, chosen] = process.argv.slice(2);
const isChosen = (row) => chosen === undefined || chosen.split(',').includes(row);

class RowsController {}

function addHandler(name, decorators, handler) {
  const prototype = RowsController.prototype;
  const method = (payload, context) => handler(payload, context);
  Object.defineProperty(prototype, name, { value: method, configurable: true, writable: true });
  Payload()(prototype, name, 0);
  Ctx()(prototype, name, 1);
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name);
  decorators.forEach((decorate) => decorate(prototype, name, descriptor));
}

function addMessageHandler(row, handler) {
  const decorators = [MessagePattern(prefix + row)];
  if (row in rowFilters) decorators.push(UseFilters(rowFilters[row]));
  if (row in rowGuards) decorators.push(UseGuards(rowGuards[row]));
  addHandler(`message:${row}`, decorators, handler);
}

function addEventHandler(row, handler, index) {
  addHandler(`event:${row}:${index}`, [EventPattern(prefix + row)], (payload, context) => {
    printLine({
      event: row,
      handler: index,
      partition: context.getPartition(),
      offset: Number(context.getMessage().offset),
      ...describe(payload, context),
    });
    return handler(payload, context);
  });
}

for (const [row, handler] of Object.entries(messageRows).filter(([row]) => isChosen(row))) {
  addMessageHandler(row, handler);
}
for (const [row, handlers] of Object.entries(eventRows).filter(([row]) => isChosen(row))) {
  handlers.forEach((handler, index) => addEventHandler(row, handler, index));
}

class RowsModule {}
Controller()(RowsController);
Module({ controllers: [RowsController] })(RowsModule);

const strategy = new ServerKafka(kafkaOptions(brokers, groupId));
const application = await NestFactory.createMicroservice(RowsModule, {
  strategy,
  logger: stderrLogger,
});

let closing;
function close() {
  closing ??= application.close().then(() => process.exit(0));
}
readLines(() => undefined, close);
process.on('SIGTERM', close);

await application.listen();
const patterns = [...strategy.getHandlers().keys()];
forgottenRows.forEach((row) => strategy.getHandlers().delete(prefix + row));
printLine({ ready: true, patterns });
